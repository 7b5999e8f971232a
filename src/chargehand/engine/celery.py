"""The Celery app of a fleet: `celery -A chargehand.engine.celery:ai_agents` and the usual tools work with it.

Rule: a message is a wake-up and nothing else. It names a task that became ready; the worker looks into the rows,
claims what it has slots for, and only then is the message acknowledged. See docs/decisions/0012-fleet.md.
"""

from typing import Any

import structlog

from chargehand.domain.queues import DEFAULT_QUEUE, Queues
from chargehand.engine.celery_acks import CONNECTION, WakeUp
from chargehand.engine.celery_process import PROCESS
from chargehand.errors import Unavailable
from chargehand.settings import Settings

try:
    # The package has no type information: what comes from it is Any.
    from celery import Celery, bootsteps, signals  # pyright: ignore[reportMissingTypeStubs] - has none
    from kombu import Queue  # pyright: ignore[reportPrivateImportUsage] - its documented place
    from kombu.transport import pyamqp
except ImportError as error:
    raise Unavailable(
        "CHARGEHAND_ENGINE=celery needs Celery; install it with: pip install 'chargehand[celery]'"
    ) from error

log = structlog.stdlib.get_logger("chargehand.worker")

TASK = "process_agent_task"
WAIT_SECONDS = 1.0
"""How long a message is held back when no slot is free; meanwhile the broker gives others to other workers."""
MOST_WAITING = 10_000
"""Wake-ups that a queue of RabbitMQ keeps; of more the oldest are dropped."""
VISIBILITY_SECONDS = 60
"""After so long Redis gives a message of a dead worker to another."""
PRIORITIES = 10


def configuration(settings: Settings) -> dict[str, Any]:
    """Celery's settings."""
    queues = Queues(settings.agent_queues)
    arguments = {"x-max-priority": PRIORITIES - 1, "x-max-length": MOST_WAITING}
    return {
        "broker_url": settings.broker_url or "memory://",
        "broker_connection_timeout": 4,
        "broker_connection_retry": True,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_heartbeat": 20,
        "broker_transport_options": transport_options(settings.broker_url or ""),
        "imports": ("chargehand.app.worker",),
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_default_queue": DEFAULT_QUEUE,
        "task_default_delivery_mode": "transient",
        "task_create_missing_queues": False,
        "task_queues": [Queue(name, routing_key=name, queue_arguments=arguments) for name in queues.names],
        "task_serializer": "json",
        "accept_content": ["json"],
        "enable_utc": True,
        # One message at a time: what counts is the slots, which the messages only wake.
        "worker_pool": "threads",
        "worker_concurrency": 1,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def transport_options(broker_url: str) -> dict[str, Any]:
    """What the broker's client is told; short waits, so that a silent broker does not hold a worker's end up."""
    if not broker_url.startswith("redis"):
        return {"connect_timeout": 4, "read_timeout": 60, "write_timeout": 10}
    return {
        "visibility_timeout": VISIBILITY_SECONDS,
        "queue_order_strategy": "priority",
        "priority_steps": list(range(0, PRIORITIES, 3)),
        "socket_connect_timeout": 4,
        "socket_keepalive": True,
        "health_check_interval": 20,
        # Of which more than one installation may use the same database.
        "global_keyprefix": "chargehand:",
    }


def _wake_up(task_id: str = "", agent_id: str = "") -> None:
    """Look for ready tasks, of which this is one; it may be done already, or be another worker's."""
    del task_id, agent_id
    PROCESS.start(_queues())
    PROCESS.heard(WAIT_SECONDS)


class CarryingStep(bootsteps.StartStopStep):
    """Begins before the first message, with or without a broker, and ends after the last.

    In the process of the worker itself, where its pool has no processes.
    """

    requires = ("celery.worker.components:Pool",)

    def start(self, parent: Any) -> None:
        if _has_processes(parent.pool):
            return
        try:
            PROCESS.start(_queues())
        except Exception as error:
            log.error("the worker cannot begin", error=str(error))
            # Celery ends quietly by it; run_worker raises the error itself.
            raise SystemExit(1) from error

    def stop(self, parent: Any) -> None:
        del parent
        PROCESS.stop()

    terminate = stop

    def register_with_event_loop(self, parent: Any, hub: Any) -> None:
        del parent
        CONNECTION.register(hub)


def _try_refusals_again() -> None:
    """RabbitMQ's refusal of a password or a virtual host would end a worker; it works from the rows meanwhile."""
    transport: Any = pyamqp.Transport
    # AccessRefused is a channel's error and NotAllowed a connection's; both count as beyond recovery.
    refusals = (*transport.connection_errors, *transport.channel_errors)
    transport.recoverable_connection_errors = tuple(dict.fromkeys(refusals))


def fleet_app(settings: Settings) -> Any:
    """The app, for a worker or for those who wake it."""
    app: Any = Celery("ai_agents", set_as_current=False)
    app.conf.update(configuration(settings))
    app.steps["worker"].add(CarryingStep)
    app.task(name=TASK, Request=WakeUp)(_wake_up)
    return app


_try_refusals_again()
ai_agents = fleet_app(Settings())
process_agent_task = ai_agents.tasks[TASK]


def _queues() -> tuple[str, ...]:
    return tuple(ai_agents.amqp.queues.consume_from)


def _has_processes(pool: Any) -> bool:
    return type(pool).__module__ == "celery.concurrency.prefork"


def _process_begins(**_: Any) -> None:
    PROCESS.start(_queues())


def _process_ends(**_: Any) -> None:
    PROCESS.stop()


def _stop_asked(**_: Any) -> None:
    PROCESS.begin_stop()


_signals: Any = signals
_signals.worker_process_init.connect(_process_begins)
_signals.worker_process_shutdown.connect(_process_ends)
_signals.worker_shutting_down.connect(_stop_asked)
