"""The run as a page: the goals with what came of them, then every figure of everyone."""

from collections.abc import Mapping, Sequence

from bench.figures import Figure, Goal, Measure, Results, Standing, Verdict, judge, number


def page(
    results: Results,
    measures: Sequence[Measure],
    goals: Sequence[Goal],
    contestants: Mapping[str, str],
    about: Mapping[str, object],
) -> str:
    """docs/performance.md, whole."""
    parts = [
        "# Performance",
        "Written by `python3 dev.py bench`: everything is measured on one machine in one run, the contestants taking "
        "turns round by round. Figures differ from machine to machine; the ratios are what to read.",
        _setting(about),
        "![Ratios to the goals](performance.svg)",
        "## Goals",
        goal_table([judge(goal, results) for goal in goals]),
        *_shortfalls([judge(goal, results) for goal in goals]),
        "## Who takes part",
        "\n".join(f"- `{name}`: {what}" for name, what in contestants.items()),
        "How each is built is in [bench/peers](../bench/peers/README.md).",
        "## Every figure",
        "Median (lowest to highest of the rounds).",
        figure_table(results, measures, list(contestants)),
        *_in_database(results, measures, list(contestants)),
        "## How it is measured",
        METHOD,
        "## Measured by themselves",
        BY_THEMSELVES,
        *_left_out(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


METHOD = """\
- A task is about 200 bytes in and 100 out. All clients are one process on the loopback, with connections kept alive;
  what it takes of a core stands in the table. A client sends its next request when the last was answered.
- *Submit to completed* is learnt in the quickest way that a contestant offers: `Prefer: wait` here, asking every 2 ms
  elsewhere. *Tasks* are submitted by 32 clients for some seconds and counted until none is open.
- *GET* and *claim* run on real rows: completed (GET) or pending (claim) tasks with their events, copied in the
  database. A claim is `Attempts.claim` of 8 tasks.
- *Takeover*: 8 tasks run on a worker that gets SIGKILL; from then until each is completed elsewhere, less the second
  that it works and less the lease, here 5 s (the app written by hand has none).
- *Broker down*: 50 submits a second, before and while the Redis that carries the messages is killed; then until no
  task is open.
- PostgreSQL and Redis run with their defaults: every commit of PostgreSQL is on disk, Redis keeps nothing that was
  just said."""


BY_THEMSELVES = """\
Questions about this service alone, which are no part of the run above. `python3 dev.py setup` makes the environment;
give each command in the folder of the repository, with that environment's Python.

- `python -m bench.guards`, a minute: what authentication and limits cost. Accepts with all of them to accepts with
  none, and `GET /health`.
- `python -m bench.abuse`, four minutes: what one tenant that takes all it can does to another's p99. `--unlimited`
  shows it without limits for tenants.
- `python -m bench.moving`, four minutes: whether `chargehand db copy` of 100,000 tasks, some of them running, loses
  any.
- `python bench/sandbox.py`, a minute: what each sandbox level adds to a command.

[Limits](guide/limits.md), [decision 0018](decisions/0018-limits.md) and [sandbox](sandbox.md) have their figures."""


def goal_table(verdicts: Sequence[Verdict]) -> str:
    rows = [
        (
            verdict.goal.title,
            verdict.goal.wanted,
            _found(verdict),
            verdict.standing.value,
        )
        for verdict in verdicts
    ]
    return _table(("what", "goal", "found", ""), rows)


def _found(verdict: Verdict) -> str:
    if verdict.found is None:
        return "–"
    spread = verdict.spread
    text = f"{number(verdict.found)} {verdict.goal.unit}"
    return text if spread is None or spread[0] == spread[1] else f"{text} ({_range(*spread)})"


def _shortfalls(verdicts: Sequence[Verdict]) -> list[str]:
    short = [verdict for verdict in verdicts if verdict.standing is Standing.SHORT]
    if not short:
        return []
    lines = [f"- {one.goal.title}: {one.goal.why or 'not yet explained.'}" for one in short]
    return ["Short of the goal:", "\n".join(lines)]


def figure_table(results: Results, measures: Sequence[Measure], names: Sequence[str]) -> str:
    """A row for each measure, a column for each contestant that has any figure."""
    there = [name for name in names if any(name == contestant for _, contestant in results.samples)]
    rows: list[tuple[str, ...]] = []
    for measure in measures:
        figures = [results.figure((measure.id, name)) for name in there]
        if any(figures):
            rows.append((f"{measure.title} [{measure.unit}]", *map(_cell, figures)))
    return _table(("", *(f"`{name}`" for name in there)), rows)


def _in_database(results: Results, measures: Sequence[Measure], names: Sequence[str]) -> list[str]:
    """Measures of the store alone have databases as columns."""
    others = sorted({name for _, name in results.samples} - set(names))
    mixed = [measure for measure in measures if any((measure.id, name) in results.samples for name in others)]
    if not others:
        return []
    return [figure_table(results, mixed, sorted({*others, "sqlite"}))]


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    if figure.spread[0] == figure.spread[1]:
        return number(figure.median)
    return f"{number(figure.median)} ({_range(*figure.spread)})"


def _range(low: float, high: float) -> str:
    return f"{number(low)}–{number(high)}"


def _setting(about: Mapping[str, object]) -> str:
    return ". ".join(f"{name}: {value}" for name, value in about.items()) + "."


def _left_out(results: Results) -> list[str]:
    if not results.left_out:
        return []
    lines = [f"- {what}: {reason.splitlines()[0]}" for what, reason in results.left_out.items()]
    return ["## Left out of this run", "\n".join(lines)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
