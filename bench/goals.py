"""The measures, and the goals that the service holds itself to."""

from bench.figures import Goal, Measure

CLIENTS = (1, 32, 128)
SIZES = (100_000, 1_000_000)
PENDING = (1_000, 1_000_000)
IN_DATABASE = ("sqlite", "postgresql")


def in_words(count: int) -> str:
    return f"{count:,}"


ACCEPTS = [
    Measure(
        id=f"accepts-{clients}",
        title=f"durable accepts, {clients} client{'s' if clients > 1 else ''}",
        unit="/s",
    )
    for clients in CLIENTS
]
READS = [
    Measure(id=f"get-{size}", title=f"GET one task of {in_words(size)}, 32 clients", unit="/s")
    for size in SIZES
]
READ_P99S = [
    Measure(
        id=f"get-{size}-p99", title=f"the same, p99, of {in_words(size)}", unit="ms", more_is_better=False
    )
    for size in SIZES
]
CLAIMS = [
    Measure(
        id=f"claim-{count}",
        title=f"claim 8 tasks with {in_words(count)} pending, p50",
        unit="ms",
        more_is_better=False,
    )
    for count in PENDING
]
MEASURES = [
    *ACCEPTS,
    Measure(
        id="client-share", title="CPU of the client meanwhile, 32 clients", unit="cores", more_is_better=False
    ),
    Measure(id="tasks", title="no-op tasks, submit to completed, 32 clients", unit="/s"),
    Measure(id="completed-p50", title="submit to completed, 1 client, p50", unit="ms", more_is_better=False),
    Measure(id="completed-p99", title="submit to completed, 1 client, p99", unit="ms", more_is_better=False),
    *READS,
    *READ_P99S,
    *CLAIMS,
    Measure(id="memory", title="resident memory, idle", unit="MB", more_is_better=False),
    Measure(
        id="memory-shared-once", title="the same, each shared page once", unit="MB", more_is_better=False
    ),
    Measure(id="start", title="start to the first 200 on /health", unit="s", more_is_better=False),
    Measure(
        id="takeover", title="kill -9 of a worker: until its tasks run again", unit="s", more_is_better=False
    ),
    Measure(id="taken-over", title="tasks of a killed worker that were completed", unit="%"),
    Measure(id="workers-1", title="tasks that wait 50 ms, one worker", unit="/s"),
    Measure(id="workers-2", title="tasks that wait 50 ms, two workers", unit="/s"),
    Measure(id="broker-up-p99", title="accepts at 50/s, p99", unit="ms", more_is_better=False),
    Measure(id="broker-down-p99", title="the same while the broker is down", unit="ms", more_is_better=False),
    Measure(id="broker-down-accepted", title="accepted while the broker is down", unit="%"),
    Measure(
        id="broker-backlog", title="backlog gone after the broker is back", unit="s", more_is_better=False
    ),
]

GOALS = [
    Goal(
        title="Durable accepts on SQLite, 32 clients, to bare FastAPI, which stores nothing",
        of=("accepts-32", "sqlite"),
        to=("accepts-32", "bare"),
        at="least",
        bound=0.5,
    ),
    Goal(
        title="Durable accepts on SQLite, 32 clients, to the app written by hand",
        of=("accepts-32", "sqlite"),
        to=("accepts-32", "hand"),
        at="least",
        bound=10,
    ),
    Goal(
        title="No-op tasks on SQLite to the app written by hand",
        of=("tasks", "sqlite"),
        to=("tasks", "hand"),
        at="least",
        bound=8,
    ),
    Goal(
        title="No-op tasks on SQLite to taskiq, which keeps nothing on disk",
        of=("tasks", "sqlite"),
        to=("tasks", "taskiq"),
        at="least",
        bound=1,
    ),
    Goal(
        title="Submit to completed on SQLite, p50, to the app written by hand",
        of=("completed-p50", "sqlite"),
        to=("completed-p50", "hand"),
        at="most",
        bound=0.2,
    ),
    Goal(
        title="GET of one task of 100,000 on SQLite to bare FastAPI",
        of=("get-100000", "sqlite"),
        to=("get-100000", "bare"),
        at="least",
        bound=0.5,
    ),
    Goal(
        title="GET on SQLite: 1,000,000 tasks in the store to 100,000",
        of=("get-1000000", "sqlite"),
        to=("get-100000", "sqlite"),
        at="least",
        bound=0.9,
    ),
    Goal(
        title="Durable accepts on PostgreSQL and Celery, 32 clients, to the app written by hand",
        of=("accepts-32", "fleet"),
        to=("accepts-32", "hand"),
        at="least",
        bound=5,
        why=(
            "a task accepted costs the API process 2 to 3 ms of CPU, most of it HTTP and not the database;"
            " on two cores the workers, who carry tasks out meanwhile, take more than half of the machine"
        ),
    ),
    Goal(
        title="No-op tasks on PostgreSQL and Celery to the app written by hand",
        of=("tasks", "fleet"),
        to=("tasks", "hand"),
        at="least",
        bound=3,
        why=(
            "a no-op task takes 9 ms of CPU in all, 5.6 of them the worker's: its rows, and its folder made,"
            " looked through and removed in threads; the server takes 1.2"
        ),
    ),
    Goal(
        title="Submit to completed on PostgreSQL and Celery, p50, to the app written by hand",
        of=("completed-p50", "fleet"),
        to=("completed-p50", "hand"),
        at="most",
        bound=0.5,
        why=(
            "between submit and answer lie three commits to disk (submit, claim, end) and the broker; the app written"
            " by hand answers for two commits and without a claim"
        ),
    ),
    *(
        Goal(
            title=f"Claim on {database}: 1,000,000 pending to 1,000",
            of=("claim-1000000", database),
            to=("claim-1000", database),
            at="most",
            bound=2,
        )
        for database in IN_DATABASE
    ),
    Goal(
        title="Two workers to one, on a task that waits 50 ms",
        of=("workers-2", "fleet"),
        to=("workers-1", "fleet"),
        at="least",
        bound=1.6,
    ),
    *(
        Goal(
            title=f"Takeover after kill -9, {name}: what comes on top of the lease",
            of=("takeover", name),
            at="most",
            bound=15,
            unit="s",
        )
        for name in ("sqlite", "fleet")
    ),
    Goal(
        title="Broker down: submits accepted",
        of=("broker-down-accepted", "fleet"),
        at="least",
        bound=100,
        unit="%",
    ),
    Goal(
        title="Broker down: p99 of a submit to that before",
        of=("broker-down-p99", "fleet"),
        to=("broker-up-p99", "fleet"),
        at="most",
        bound=2,
    ),
    Goal(
        title="Broker back: backlog gone",
        of=("broker-backlog", "fleet"),
        at="most",
        bound=120,
        unit="s",
    ),
    Goal(title="Resident memory on SQLite, idle", of=("memory", "sqlite"), at="most", bound=120, unit="MB"),
    Goal(title="Start on SQLite to the first 200", of=("start", "sqlite"), at="most", bound=1.5, unit="s"),
]
