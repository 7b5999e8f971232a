"""The work of `chargehand keys`."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from chargehand.cli.connection import Connection, connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.lines import one_line, time_text
from chargehand.cli.listing import show_list
from chargehand.cli.output import write, write_fields, write_json, write_one
from chargehand.client import AsyncClient
from chargehand.client.calls import is_loopback
from chargehand.domain.duration import duration_of
from chargehand.errors import KeyNotFound
from chargehand.store.secret_files import read_secret, write_secret
from chargehand.wire.access import KEY_ID_PATTERN, KeyBody, KeyMade, KeyRotated


async def list_keys(server: str | None, *, limit: int, as_json: bool) -> ExitCode:
    """Keys, by name."""
    return await show_list(
        server,
        lambda client, cursor, most: client.keys(cursor=cursor, limit=most),
        ("ID", "NAME", "MAY", "STATE", "LAST USED"),
        lambda one: (one.id, one.name, _rights_text(one), _state(one), time_text(one.last_used_at)),
        limit=limit,
        as_json=as_json,
    )


async def show_key(key: str, server: str | None, *, as_json: bool) -> ExitCode:
    """One key."""
    async with connect(server) as connection:
        found = await _found(connection.client, key)
    return write_one(found, _write, as_json=as_json)


async def create_key(
    name: str,
    server: str | None,
    *,
    scopes: Sequence[str],
    roles: Sequence[str],
    agents: Sequence[str],
    expires_in: str | None,
    as_json: bool,
) -> ExitCode:
    """A new key, which is printed this once."""
    ends = None if expires_in is None else datetime.now(UTC) + duration_of(expires_in)
    async with connect(server) as connection:
        made = await connection.client.create_key(
            name, scopes=scopes, roles=roles, agents=agents or None, expires_at=ends
        )
    return write_one(made, _write_made, as_json=as_json)


async def rotate_key(key: str, server: str | None, *, keep: str | None, as_json: bool) -> ExitCode:
    """A key's successor."""
    seconds = None if keep is None else int(duration_of(keep).total_seconds())
    async with connect(server) as connection:
        found = await _found(connection.client, key)
        rotated = await connection.client.rotate_key(found.id, keep_seconds=seconds)
        is_kept = _keep_own(connection, rotated)
    if as_json:
        write_json(rotated)
        return ExitCode.OK
    write(rotated.secret)
    ends = rotated.replaced.expires_at
    say(f"the new key ({rotated.key.id}) is shown this once; the old one works until {time_text(ends)}")
    if is_kept:
        say(
            f"it is the administrator's of this data folder: {connection.settings.key_file} holds the new one now"
        )
    return ExitCode.OK


async def revoke_key(key: str, server: str | None) -> ExitCode:
    """No more of it."""
    async with connect(server) as connection:
        found = await _found(connection.client, key)
        await connection.client.revoke_key(found.id)
    write(one_line(f"revoked {found.name} ({found.id})"))
    return ExitCode.OK


def _write_made(made: KeyMade) -> None:
    write(made.secret)
    named = one_line(f"the key {made.key.name} ({made.key.id})")
    say(f"{named} is shown this once; keep it where secrets are kept")


def _keep_own(connection: Connection, rotated: KeyRotated) -> bool:
    """Put the new key where this machine's commands find it, when it was theirs that was replaced."""
    file = connection.settings.key_file
    held = read_secret(file) if is_loopback(connection.client.url) else None
    prefix = f"chg_live_{rotated.replaced.id}".encode()
    if held is None or not held.startswith(prefix):
        return False
    write_secret(file, rotated.secret.encode() + b"\n")
    return True


async def _found(client: AsyncClient, key: str) -> KeyBody:
    """The key of this name or id."""
    for one in (await client.keys(name=key)).items:
        return one
    if re.fullmatch(KEY_ID_PATTERN, key):
        return await client.key(key)
    raise KeyNotFound(f"there is no key {key[:128]!r}; chargehand keys list shows them")


def _state(key: KeyBody) -> str:
    if key.revoked_at is not None:
        return f"revoked {time_text(key.revoked_at)}"
    if key.expires_at is None:
        return "live"
    is_over = key.expires_at <= datetime.now(UTC)
    return f"expired {time_text(key.expires_at)}" if is_over else f"until {time_text(key.expires_at)}"


def _rights_text(key: KeyBody) -> str:
    what = ", ".join(key.roles) or ", ".join(one.value for one in key.scopes) or "nothing"
    return what if key.agents is None else f"{what} of {', '.join(key.agents)}"


def _write(key: KeyBody) -> None:
    write_fields(
        [
            ("key", f"{key.name} ({key.id}, ends in {key.last_four})"),
            ("state", _state(key)),
            ("scopes", ", ".join(one.value for one in key.scopes) or "none"),
            ("roles", ", ".join(key.roles)),
            ("agents", ", ".join(key.agents or ())),
            ("replaces", key.replaces or ""),
            ("made", f"{time_text(key.created_at)} by {key.created_by or '?'}"),
            ("last used", time_text(key.last_used_at) if key.last_used_at else "never"),
        ]
    )
