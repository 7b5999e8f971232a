"""`python -m chaos`, which `python3 dev.py chaos` starts: run, print the table, say by the exit code how it went."""

import asyncio
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from chaos import options, report
from chaos.run import NotBegun, run
from chaos.servers import ServerMissing

HOLDS, BROKEN, CANNOT_BEGIN, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str]) -> int:
    """One run; its exit code."""
    if sys.platform == "win32":
        print("dev.py chaos needs fork, SIGKILL and SIGSTOP, which Windows has not: run it on Linux or macOS")
        return CANNOT_BEGIN
    chosen = options.parse(arguments)
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        result = asyncio.run(run(chosen))
    except (ServerMissing, NotBegun) as reason:
        print(f"chaos: {reason}", file=sys.stderr)
        return CANNOT_BEGIN
    except KeyboardInterrupt:
        print("chaos: stopped; everything that was started is ended", file=sys.stderr)
        return INTERRUPTED
    print(report.markdown(result))
    print(f"the report: {', '.join(str(chosen.report / name) for name in report.FILES)}")
    return HOLDS if result.holds else BROKEN


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    """SIGTERM as what asyncio takes for a cancel of the whole run: everything is cleaned up on the way out."""
    del number, frame
    signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
