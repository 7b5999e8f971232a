"""Faults of a database server as errors that name the way out."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import exc
from sqlalchemy.engine import URL

from chargehand.errors import RaceLost, StorageFull, Unavailable
from chargehand.store.server_url import SETTING, shown_url

RACES = frozenset({"40001", "40P01", "55P03", "23505", 1213, 1205, 1062, 1020, 1412})
"""Serialization failure, deadlock, lock not had in time, unique key taken; then MySQL's own, and a table altered."""
FULL = frozenset({"53100", 1021, 1114})
READ_ONLY = frozenset({"25006", 1290, 1836})
SLOW = frozenset({"57014", 1969, 3024})
BROKEN_RULES = frozenset({4025, 3819})
"""A CHECK constraint, which MySQL's drivers take for a fault of the server."""
REFUSED = frozenset({"28000", "28P01", "3D000", "42501", 1044, 1045, 1049, 1142, 1698})
"""Name, password, database or a right that is missing."""


@contextmanager
def told_plainly(url: URL) -> Generator[None, None, None]:
    """Inside, whatever the driver raises becomes one of this service's errors."""
    where = shown_url(url)
    try:
        yield
    except exc.TimeoutError as error:
        raise Unavailable(
            f"all connections to {where} are busy; raise CHARGEHAND_DATABASE_CONNECTIONS, or look for what is slow"
        ) from error
    except exc.DBAPIError as error:
        raise _plain(error, where) from error
    except (OSError, TimeoutError) as error:
        raise Unavailable(_no_answer(error, where)) from error


def _plain(error: exc.DBAPIError, where: str) -> Exception:
    number = number_of(error)
    said = _first_line(error)
    if number in RACES:
        return RaceLost(f"other transactions were in the way ({said}); ask again")
    if number in FULL:
        return StorageFull(f"the disk of the database at {where} is full ({said})")
    if number in READ_ONLY:
        return Unavailable(
            f"the database at {where} is read-only ({said}); {SETTING} must name one that is written to"
        )
    if number in SLOW:
        return Unavailable(f"the database took too long over a statement ({said})")
    if number in REFUSED:
        return Unavailable(f"the database at {where} refuses this service ({said}); see {SETTING}")
    if number in BROKEN_RULES or isinstance(error, exc.IntegrityError | exc.ProgrammingError | exc.DataError):
        return error
    return Unavailable(f"the database at {where} did not answer ({said}); see {SETTING}")


def _no_answer(error: OSError, where: str) -> str:
    said = str(error)
    # What the drivers say of a server that breaks off, or is silent, where a database's words are due.
    if not said or "SSL upgrade" in said:
        return (
            f"what listens at {where} does not answer as such a database does; look at whether it runs, and at the"
            f" scheme, host and port in {SETTING}"
        )
    return f"the database at {where} does not answer ({said}); start it, or correct {SETTING}"


def number_of(error: exc.DBAPIError) -> str | int | None:
    """PostgreSQL's SQLSTATE or MySQL's error number."""
    cause: BaseException | None = error.orig
    while cause is not None:
        # First, because MySQL's drivers may name a SQLSTATE too, which is the same for most of its numbers.
        if cause.args and isinstance(cause.args[0], int):
            return cause.args[0]
        state = getattr(cause, "sqlstate", None)
        if isinstance(state, str):
            return state
        cause = cause.__cause__
    return None


def _first_line(error: exc.DBAPIError) -> str:
    return (str(error.orig).splitlines() or [type(error.orig).__name__])[0][:200]
