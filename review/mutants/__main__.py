"""Weaken every guard in turn, in a copy, and see whether the tests notice.

    python3 dev.py mutants                      all guards; ten minutes on two cores
    python3 dev.py mutants --guard "dial check" one of them
    python3 dev.py mutants --match is_held      those whose name holds this text
    python3 dev.py mutants --list               only say what would be tested

Exit code 0: every mutant was killed, or stands in review/mutants/equivalent.py with the reason; 1: one survived;
2: it cannot begin.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from review.mutants.discovery import GuardMissing, Mutant
from review.mutants.equivalent import EQUIVALENT
from review.mutants.guards import GUARDS, PACKAGE, ROOT, all_mutants
from review.mutants.running import Tested, Verdict, laboratory, untouched

ALL_KILLED, SURVIVED, CANNOT_BEGIN = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """One run; its exit code."""
    parser = argparse.ArgumentParser(prog="dev.py mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--guard", choices=GUARDS, help="only this guard")
    parser.add_argument("--match", default="", help="only mutants whose name holds this text")
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--list", action="store_true", help="only say what would be tested")
    chosen = parser.parse_args(arguments)
    try:
        found = list(all_mutants())
    except GuardMissing as reason:
        print(f"mutants: {reason}", file=sys.stderr)
        return CANNOT_BEGIN
    stale = EQUIVALENT.keys() - {one.key for one in found}
    wanted = [
        one
        for one in found
        if chosen.guard in (None, one.guard) and chosen.match in str(one) and one.key not in EQUIVALENT
    ]
    for key in sorted(stale):
        print(f"mutants: review/mutants/equivalent.py names what is no mutant: {key}", file=sys.stderr)
    if chosen.list:
        print("\n".join(f"{one.guard}: {one}" for one in wanted))
        return CANNOT_BEGIN if stale else ALL_KILLED
    if sys.platform == "win32":
        print("dev.py mutants needs fork, which Windows has not: run it on Linux or macOS")
        return CANNOT_BEGIN
    code = run(wanted, PACKAGE, ROOT, jobs=chosen.jobs)
    return CANNOT_BEGIN if stale else code


def run(wanted: Sequence[Mutant], package: Path, root: Path, *, jobs: int) -> int:
    """Test the mutants and print what became of them."""
    started = time.monotonic()
    with laboratory(root, package, jobs) as place:
        print(f"{len(wanted)} mutants; first their tests on the package as it is", flush=True)
        wrong = [
            one
            for one in place.test(untouched(wanted, package), lambda _: None)
            if one.verdict is not Verdict.SURVIVED
        ]
        for one in wrong:
            print(f"these fail already: {' '.join(one.mutant.tests)}\n{one.output[-3000:]}", file=sys.stderr)
        if wrong:
            return CANNOT_BEGIN
        done = place.test(wanted, _Progress(len(wanted)))
    print(_table(done))
    survivors = [one for one in done if one.verdict in (Verdict.SURVIVED, Verdict.BROKEN)]
    for one in survivors:
        print(f"{one.verdict}: {one.mutant.guard}: {one.mutant}\n    held by {' '.join(one.mutant.tests)}")
    print(f"{len(done) - len(survivors)} of {len(done)} killed in {time.monotonic() - started:.0f} s")
    return SURVIVED if survivors else ALL_KILLED


class _Progress:
    """A line now and then, and one for each survivor."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0

    def __call__(self, tested: Tested) -> None:
        self._done += 1
        if tested.verdict in (Verdict.SURVIVED, Verdict.BROKEN):
            print(f"{self._done}/{self._total} {tested.verdict}: {tested.mutant}", flush=True)
        elif self._done % 20 == 0:
            print(f"{self._done}/{self._total}", flush=True)


def _table(done: Sequence[Tested]) -> str:
    counts = Counter((one.mutant.guard, one.verdict) for one in done)
    lines = ["| guard | mutants | killed | of them by the time limit | survived |", "|---|---|---|---|---|"]
    for guard in dict.fromkeys(one.mutant.guard for one in done):
        by = {verdict: counts[guard, verdict] for verdict in Verdict}
        killed = by[Verdict.KILLED] + by[Verdict.TIMED_OUT]
        survived = by[Verdict.SURVIVED] + by[Verdict.BROKEN]
        lines.append(f"| {guard} | {killed + survived} | {killed} | {by[Verdict.TIMED_OUT]} | {survived} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
