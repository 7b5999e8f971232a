"""Weaken every guard in turn, in a copy, and see whether the tests notice.

    python3 dev.py mutants                      all guards
    python3 dev.py mutants --guard "dial check" one of them
    python3 dev.py mutants --match is_held      those whose name holds this text
    python3 dev.py mutants --list               only say what would be tested

Exit code 0: every mutant was killed, or stands in review/mutants/equivalent.py with the reason; 1: one survived;
2: it cannot begin.
"""

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from review.mutants.benches import Verdict
from review.mutants.discovery import GuardMissing, Mutant
from review.mutants.equivalent import EQUIVALENT
from review.mutants.guards import GUARDS, PACKAGE, ROOT, all_mutants
from review.mutants.running import Tested, laboratory

ALL_KILLED, SURVIVED, CANNOT_BEGIN = 0, 1, 2


def main(arguments: Sequence[str]) -> int:
    """One run; its exit code."""
    parser = argparse.ArgumentParser(prog="dev.py mutants", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--guard", choices=GUARDS, help="only this guard")
    parser.add_argument(
        "--match", action="append", help="only mutants whose name holds this text, or another's"
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many at once (2)")
    parser.add_argument("--each", action="store_true", help="a line for each mutant")
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
        if chosen.guard in (None, one.guard)
        and any(text in str(one) for text in chosen.match or ("",))
        and one.key not in EQUIVALENT
    ]
    for key in sorted(stale):
        print(f"mutants: review/mutants/equivalent.py names what is no mutant: {key}", file=sys.stderr)
    if chosen.list:
        print("\n".join(f"{one.guard}: {one}" for one in wanted))
        return CANNOT_BEGIN if stale else ALL_KILLED
    if sys.platform == "win32":
        print("dev.py mutants needs fork, which Windows has not: run it on Linux or macOS")
        return CANNOT_BEGIN
    code = run(wanted, PACKAGE, ROOT, jobs=chosen.jobs, each=chosen.each)
    return CANNOT_BEGIN if stale else code


def run(wanted: Sequence[Mutant], package: Path, root: Path, *, jobs: int, each: bool = False) -> int:
    """Test the mutants and print what became of them."""
    # As an interrupt: the processes are ended, and the copies removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    print(f"{len(wanted)} mutants", flush=True)
    with laboratory(root, package, jobs) as place:
        tested = place.test(wanted, _Progress(len(wanted), each=each))
    wrong = [one for one in tested if one.mutant is None and one.verdict is Verdict.BROKEN]
    done = [(one.mutant, one.verdict) for one in tested if one.mutant is not None]
    print(_table(done))
    survivors = [(mutant, verdict) for mutant, verdict in done if verdict is Verdict.SURVIVED]
    for mutant, verdict in survivors:
        print(f"{verdict}: {mutant.guard}: {mutant}\n    held by {' '.join(mutant.tests)}")
    for one in wrong:
        print(f"these fail already: {' '.join(one.tests)}\n{one.failed[-3000:]}", file=sys.stderr)
    killed, seconds = len(done) - len(survivors), time.monotonic() - started
    print(f"{killed} of {len(wanted)} killed, {len(wanted) - len(done)} not tested, in {seconds:.0f} s")
    if wrong or len(done) < len(wanted):
        return CANNOT_BEGIN
    return SURVIVED if survivors else ALL_KILLED


class _Progress:
    """A line now and then, and one for each survivor."""

    def __init__(self, total: int, *, each: bool) -> None:
        self._each = each
        self._total = total
        self._done = 0

    def __call__(self, tested: Tested) -> None:
        if tested.mutant is None:
            if tested.verdict is Verdict.BROKEN:
                print(f"these fail already: {' '.join(tested.tests)}", flush=True)
            return
        self._done += 1
        if self._each or tested.verdict is Verdict.SURVIVED:
            print(
                f"{self._done}/{self._total} {tested.verdict}: {tested.mutant.guard}: {tested.mutant}",
                flush=True,
            )
        elif self._done % 20 == 0:
            print(f"{self._done}/{self._total}", flush=True)


def _table(done: Sequence[tuple[Mutant, Verdict]]) -> str:
    counts = Counter((mutant.guard, verdict) for mutant, verdict in done)
    lines = ["| guard | mutants | killed | of them by the time limit | survived |", "|---|---|---|---|---|"]
    for guard in dict.fromkeys(mutant.guard for mutant, _ in done):
        by = {verdict: counts[guard, verdict] for verdict in Verdict}
        killed = by[Verdict.KILLED] + by[Verdict.TIMED_OUT]
        survived = by[Verdict.SURVIVED]
        lines.append(f"| {guard} | {killed + survived} | {killed} | {by[Verdict.TIMED_OUT]} | {survived} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
