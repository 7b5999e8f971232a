"""The work of `chargehand secrets`."""

import sys

import typer

from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode
from chargehand.cli.lines import time_text
from chargehand.cli.output import write, write_one, write_table
from chargehand.domain.secret import LONGEST, check_name, check_value
from chargehand.errors import InvalidInput
from chargehand.wire.secrets import RewrapAnswer


async def list_secrets(server: str | None, *, as_json: bool) -> ExitCode:
    """Names, versions and times."""
    async with connect(server) as connection:
        found = await connection.client.secrets()
    return write_table(
        found,
        ("NAME", "VERSION", "SET AT", "BY"),
        lambda one: (one.name, str(one.version), time_text(one.updated_at), one.updated_by),
        as_json=as_json,
        empty="there is none; make one with: chargehand secrets set NAME",
    )


async def set_secret(name: str, server: str | None, *, as_json: bool) -> ExitCode:
    """Read the value, check it, send it."""
    check_name(name)
    value = _value()
    check_value(value)
    async with connect(server) as connection:
        stored = await connection.client.put_secret(name, value)
    return write_one(stored, lambda one: write(f"{one.name}: version {one.version}"), as_json=as_json)


async def delete_secret(name: str, server: str | None) -> ExitCode:
    """No more of it."""
    check_name(name)
    async with connect(server) as connection:
        await connection.client.delete_secret(name)
    write(f"deleted {name}")
    return ExitCode.OK


async def rewrap(server: str | None, *, as_json: bool) -> ExitCode:
    """All data keys under the first master key."""
    async with connect(server) as connection:
        done = await connection.client.rewrap_secrets()
    return write_one(done, _write_rewrapped, as_json=as_json)


def _write_rewrapped(done: RewrapAnswer) -> None:
    write(f"{done.data_keys} data keys are now encrypted with the master key {done.master_key_id}")


def _value() -> str:
    if sys.stdin.isatty():
        return typer.prompt("Value", hide_input=True, confirmation_prompt=True, err=True)
    try:
        content = sys.stdin.buffer.read(4 * LONGEST + 3).decode()
    except UnicodeDecodeError:
        raise InvalidInput("the value on standard input is no UTF-8 text") from None
    return content.removesuffix("\n").removesuffix("\r")
