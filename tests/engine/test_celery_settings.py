"""What a fleet is refused for before anything is touched, and how agents and priorities map to queues."""

import subprocess
import sys
from pathlib import Path

import pytest

from chargehand.app.fleet import check_fleet
from chargehand.app.servers import problems_of_broker
from chargehand.domain.queues import EVERY_AGENT, Queues
from chargehand.engine.celery import ai_agents, configuration
from chargehand.errors import InvalidInput
from chargehand.settings import Settings
from chargehand.store.address import shown

POSTGRESQL = "postgresql://postgres@127.0.0.1/chargehand"
REDIS = "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ["CHARGEHAND_DATABASE_URL", "CHARGEHAND_ENGINE"]),
        ({"database_url": POSTGRESQL}, ["CHARGEHAND_BROKER_URL"]),
        ({"database_url": POSTGRESQL, "broker_url": "sqs://x"}, ["CHARGEHAND_BROKER_URL", "redis://"]),
        (
            {"database_url": POSTGRESQL, "broker_url": REDIS, "agent_queues": {"a": "no queue"}},
            ["CHARGEHAND_AGENT_QUEUES", "'no queue'"],
        ),
    ],
)
def test_a_fleet_without_what_it_needs_is_refused_with_the_settings_name(
    tmp_path: Path, given: dict[str, object], names: list[str]
) -> None:
    settings = Settings(data_dir=tmp_path).model_copy(
        update={"engine": "celery", "database_url": None, **given}
    )

    with pytest.raises(InvalidInput) as refused:
        check_fleet(settings)

    assert all(name in refused.value.message for name in names), refused.value.message


@pytest.mark.parametrize("scheme", ["redis", "amqp", "amqp://me@127.0.0.1//;amqp"])
@pytest.mark.parametrize("password", ["sec/ret", "123/s3cret", "123#s3cret", "se[cret"])
async def test_a_broker_with_a_password_that_breaks_its_address_is_refused_without_a_part_of_it(
    tmp_path: Path, scheme: str, password: str
) -> None:
    url = f"{scheme}://me:{password}@127.0.0.1//"
    settings = Settings(data_dir=tmp_path).model_copy(update={"engine": "celery", "broker_url": url})

    with pytest.raises(InvalidInput) as refused:
        check_fleet(settings)
    problems = await problems_of_broker(settings)

    assert problems == [refused.value.message]
    assert "CHARGEHAND_BROKER_URL" in refused.value.message
    assert all(part not in refused.value.message for part in ("sec", "cret", "123"))


def test_several_brokers_may_be_named(tmp_path: Path) -> None:
    brokers = "amqp://me:p%40ss@127.0.0.1//;amqp://me:p@127.0.0.2//"
    settings = Settings(data_dir=tmp_path).model_copy(
        update={"engine": "celery", "database_url": POSTGRESQL, "broker_url": brokers}
    )

    check_fleet(settings)

    assert shown(brokers) == "amqp://127.0.0.1//;amqp://127.0.0.2//"


def test_agents_without_a_queue_of_their_own_share_the_default_one() -> None:
    queues = Queues({"builder": "builds", "other-builder": "builds", "checker": "checks"})

    assert queues.names == ("chargehand", "builds", "checks")
    assert (queues.of("builder"), queues.of("anybody")) == ("builds", "chargehand")


def test_a_worker_claims_the_agents_of_its_queues_and_no_others() -> None:
    queues = Queues({"builder": "builds", "checker": "checks"})

    def claimed(*names: str) -> list[str]:
        scope = queues.scope(names)
        return [agent for agent in ("builder", "checker", "anybody") if scope.includes(agent)]

    assert claimed("builds") == ["builder"]
    assert claimed("chargehand") == ["anybody"]
    assert claimed("chargehand", "checks") == ["checker", "anybody"]
    assert queues.scope(queues.names) == EVERY_AGENT
    with pytest.raises(InvalidInput, match="there is no queue 'bulids'; CHARGEHAND_AGENT_QUEUES gives"):
        queues.scope(["bulids"])


def test_the_app_is_named_as_the_contract_says_and_its_messages_are_only_hints() -> None:
    settings = Settings(broker_url=REDIS)

    assert ai_agents.main == "ai_agents"
    assert "process_agent_task" in ai_agents.tasks
    told = configuration(settings)
    assert (told["task_acks_late"], told["task_ignore_result"], told["result_backend"]) == (True, True, None)


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    """As on a machine without Celery: a module of that name that cannot be imported comes first."""
    (tmp_path / "celery.py").write_text("raise ImportError('no Celery')\n", encoding="utf-8")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.argv[1:] = ['worker'];"
        " from chargehand.cli.main import main; main()"
    )
    environment = {
        "CHARGEHAND_DATABASE_URL": POSTGRESQL,
        "CHARGEHAND_BROKER_URL": REDIS,
        "CHARGEHAND_DATA_DIR": str(tmp_path / "data"),
    }

    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ran.returncode == 6, ran.stderr
    assert "pip install 'chargehand[celery]'" in ran.stderr
