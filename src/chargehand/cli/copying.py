"""The work of `chargehand db copy`."""

import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chargehand.cli.exits import ExitCode, say
from chargehand.cli.lines import seconds_text
from chargehand.cli.output import write
from chargehand.store.copy_sides import Side, side_of
from chargehand.store.copying import Progress, copy
from chargehand.store.folder import DataFolder

TOLD_EVERY_SECONDS = 2.0


async def copy_database(from_address: str, to_address: str, *, force: bool) -> ExitCode:
    """Copy and compare every row, with a line now and then."""
    source, target = side_of(from_address), side_of(to_address)
    begun, lines = time.monotonic(), Lines()
    with ExitStack() as held:
        for side in (source, target):
            held.enter_context(_alone(side))
        rows = await copy(source, target, told=lines.tell, force=force)
    write(f"copied and compared {rows:,} rows in {seconds_text(time.monotonic() - begun)}")
    say(
        f"set CHARGEHAND_DATABASE_URL to use {target.name}"
        if target.is_server
        else f"the rows are in {target.name}"
    )
    return ExitCode.OK


@contextmanager
def _alone(side: Side) -> Generator[None]:
    """No service works on a SQLite file meanwhile: its folder's lock says so."""
    if side.path is None:
        yield
        return
    folder = DataFolder(Path(side.path).parent)
    folder.open()
    try:
        yield
    finally:
        folder.close()


@dataclass(slots=True)
class Lines:
    """A line every two seconds, and one for each table that had rows."""

    _at: float = field(default_factory=time.monotonic)

    def tell(self, progress: Progress) -> None:
        now = time.monotonic()
        is_whole = progress.rows >= progress.total
        if not is_whole and now - self._at < TOLD_EVERY_SECONDS:
            return
        self._at = now
        rate = progress.rows / max(progress.seconds, 0.001)
        left = (progress.total - progress.rows) / max(rate, 0.001)
        eta = "" if is_whole else f", {seconds_text(left)} to go"
        say(
            f"{progress.doing} {progress.table}: {progress.rows:,} of {progress.total:,} ({rate:,.0f} rows/s{eta})"
        )
