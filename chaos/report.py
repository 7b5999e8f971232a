"""The report of a run: a table in Markdown, the same as JSON, and the drawing."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from chaos.checker import SHOWN
from chaos.plot import draw
from chaos.results import Result
from chaos.takeovers import percentile

WORDS = 200
"""How much is told of what a process said last."""
FILES = ("chaos.md", "chaos.json", "chaos.svg")


def write(result: Result, folder: Path) -> None:
    """Put the three files of the report into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = (markdown(result), json.dumps(result.as_data(), indent=1) + "\n", draw(result))
    for name, text in zip(FILES, texts, strict=True):
        (folder / name).write_text(text, encoding="utf-8")


def markdown(result: Result) -> str:
    """The table, and below it whatever is broken, with what shows it."""
    verdict = "every promise holds" if result.holds else "BROKEN"
    lines = [f"# {result.title}: {verdict}", "", *_table(("what", "figure"), figures(result)), ""]
    checks = [
        (check.promise, "holds" if check.holds else f"**broken {len(check.broken)} times**")
        for check in result.found.checks
    ]
    lines += [*_table(("promise", "found"), checks), ""]
    for check in result.found.checks:
        if not check.holds:
            lines += [f"## Broken: {check.promise}", ""]
            lines += [f"- {one}" for one in check.broken[:SHOWN]]
            left_out = len(check.broken) - SHOWN
            lines += ([f"- and {left_out} more"] if left_out > 0 else []) + [""]
    if result.problems:
        lines += ["## The run was not whole", "", *(f"- {one}" for one in result.problems), ""]
    if result.own_ends:
        lines += ["## Processes that ended by themselves", ""]
        lines += [f"- {count} times {words}" for words, count in _own_ends(result).most_common(SHOWN)]
        lines.append("")
    return "\n".join(lines)


def figures(result: Result) -> list[tuple[str, str]]:
    """What was done and what it came to."""
    faults = Counter(fault.kind for fault in result.faults if fault.kind != "kill")
    by_node = Counter(kill.node for kill in result.kills)
    seconds = result.calm_at - result.began_at
    compared = result.found.compared
    given_up = f"{result.found.given_up} (three workers in a row died with each)"
    return [
        ("seed", str(result.seed)),
        (
            "time with faults",
            f"{seconds:.0f} s, then {result.rested_at - result.calm_at:.1f} s until all had ended",
        ),
        ("kills of processes at work", f"{len(result.kills)} ({len(result.kills) / max(seconds, 1):.2f}/s)"),
        ("by process", _listed(by_node)),
        ("other faults", f"{faults.total()} ({_listed(faults)})"),
        ("not broken here", "; ".join(result.skipped) or "nothing"),
        ("lives of processes", _listed(Counter(dict(result.lives)))),
        (
            "from start to at work, median",
            ", ".join(
                f"{role} {seconds:.2f} s ({cpu:.2f} s of a processor)"
                for role, (seconds, cpu) in result.seconds_to_be_up.items()
            ),
        ),
        ("clients", str(result.clients)),
        ("tasks accepted", f"{result.accepted}, with those below them {result.found.tasks}"),
        ("tasks given up", given_up),
        ("events seen by clients", str(sum(len(one.sequences) for one in result.seen))),
        ("streams", f"{sum(one.streams for one in result.seen)}, each task's on any process"),
        ("answers", _listed(Counter(dict(result.answers)))),
        ("effects in the ledger", f"{compared.marks} for {compared.steps} finished steps"),
        ("effects done again before their record", str(compared.again_before_record)),
        ("takeovers", str(len(result.takeovers))),
        (
            "takeover after kill -9, p50 / p99",
            f"{result.takeover_seconds(50):.2f} s / {result.takeover_seconds(99):.2f} s",
        ),
        ("of it until the loss was seen, p50 / p99", _seen_after(result)),
    ]


def _seen_after(result: Result) -> str:
    taken = [one.rescued_seconds for one in result.takeovers]
    return f"{percentile(taken, 50):.2f} s / {percentile(taken, 99):.2f} s"


def _own_ends(result: Result) -> Counter[str]:
    """By process and what it said last, without the numbers, which differ each time."""
    return Counter(
        f"{one.node.rstrip('0123456789-')} with {one.status}: "
        + re.sub(r"[0-9a-f:.T-]*\d[0-9a-f:.TZ-]*", "…", one.last_words or "without a word")[-WORDS:]
        for one in result.own_ends
    )


def _listed(count: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(count.items())) or "none"


def _table(head: tuple[str, str], rows: Sequence[tuple[str, str]]) -> list[str]:
    lines = [f"| {head[0]} | {head[1]} |", "| --- | --- |"]
    return lines + [f"| {name} | {value.replace('|', '/')} |" for name, value in rows]
