"""The work of `chargehand audit`."""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from contextlib import aclosing
from pathlib import Path

from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.output import write, write_json, write_rows
from chargehand.client.audit import audit_listing
from chargehand.domain.audit import Chain, entry_of
from chargehand.errors import InvalidInput
from chargehand.wire.audit import AuditEntryBody

_HASH = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


async def list_entries(
    server: str | None,
    *,
    actor: str | None,
    action: str | None,
    object_id: str | None,
    denied: bool,
    since: str | None,
    until: str | None,
    limit: int,
    as_json: bool,
) -> ExitCode:
    """Entries, newest first."""
    call = audit_listing(
        actor=actor,
        action=action,
        object_id=object_id,
        result="denied" if denied else None,
        since=_time(since),
        until=_time(until),
        limit=limit,
    )
    async with connect(server) as connection:
        page = await connection.client.audit(call)
    if as_json:
        write_json(page)
        return ExitCode.OK
    write_rows(("NUMBER", "AT", "ACTOR", "ACTION", "OBJECT", "FROM", "DETAILS"), list(map(_row, page.items)))
    if page.next_cursor is not None:
        say("there are more; --until, or a --limit of up to 200, shows them")
    return ExitCode.OK


def _time(text: str | None) -> str | None:
    """A day stands for its beginning."""
    return f"{text}T00:00:00Z" if text is not None and _DAY.fullmatch(text) else text


def _row(one: AuditEntryBody) -> tuple[str, ...]:
    details = ", ".join(f"{key}={value}" for key, value in one.details.items())
    actor = one.actor.id or one.actor.kind
    return str(one.number), one.at[:19] + "Z", actor, one.action, one.object.id, one.address, details


async def export(server: str | None, *, after: int) -> ExitCode:
    """Every entry, as it comes."""
    async with connect(server) as connection, aclosing(connection.client.audit_export(after=after)) as lines:
        async for line in lines:
            write(line)
    return ExitCode.OK


async def verify(
    files: Sequence[Path], heads: Sequence[str], server: str | None, *, as_json: bool
) -> ExitCode:
    """Walk what the service has, or what was exported."""
    chain = Chain()
    for head in heads:
        if not _HASH.fullmatch(head):
            raise InvalidInput(f"--expect-head {head[:80]}: a head is 64 hexadecimal digits")
        chain.expect(head)
    if files:
        wrong = await _walk(chain, _read(files))
        if wrong is None and chain.head.number == 0:
            # An export that failed leaves such a file; an audit has its first entry from the first start on.
            raise InvalidInput(f"there is no entry in {', '.join(map(str, files))}; export the audit again")
    else:
        async with connect(server) as connection:
            # Before the entries: what is appended meanwhile comes behind it.
            chain.expect((await connection.client.audit(audit_listing(limit=1))).head.hash)
            async with aclosing(connection.client.audit_export()) as lines:
                wrong = await _walk(chain, lines)
    if wrong is None and (missing := chain.missing()):
        wrong = (
            f"the chain ends at entry {chain.head.number}, and no entry has the expected head {missing[0]}"
        )
    return _told(chain, wrong, as_json=as_json)


async def _walk(chain: Chain, lines: AsyncIterable[str]) -> str | None:
    """What is wrong with the first entry that does not belong; None: nothing."""
    async for line in lines:
        if not line.strip():
            continue
        try:
            entry = entry_of(json.loads(line))
        except (ValueError, RecursionError, InvalidInput):
            return f"what follows entry {chain.head.number} is no entry of an audit"
        if wrong := chain.add(entry):
            return f"entry {entry.number} {wrong}"
    return None


async def _read(files: Sequence[Path]) -> AsyncGenerator[str, None]:
    for file in files:
        try:
            with file.open(encoding="utf-8") as opened:
                for line in opened:
                    yield line
        except OSError as error:
            raise InvalidInput(f"{file} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise InvalidInput(f"{file} is no UTF-8 text; name a file of `chargehand audit export`") from None


def _told(chain: Chain, wrong: str | None, *, as_json: bool) -> ExitCode:
    head = chain.head
    if as_json:
        write_json({"whole": wrong is None, "problem": wrong, "entries": head.number, "head": head.hash})
    elif wrong is None:
        write(f"whole: {head.number} entries, head {head.hash}")
    else:
        say(f"chargehand: {wrong}; the {head.number} entries before it are as they were written")
    return ExitCode.OK if wrong is None else ExitCode.FAILED
