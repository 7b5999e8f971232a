"""The work of `chargehand tenants limits`."""

from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode
from chargehand.cli.output import write_json, write_rows
from chargehand.errors import InvalidInput
from chargehand.wire.limits import TenantLimitsBody

DEFAULT = "default"
_TEXT = "usd_per_day"


async def show_or_change(
    server: str | None, tenant: str, changes: Sequence[str], *, as_json: bool
) -> ExitCode:
    """A tenant's limits, after the changes."""
    changed = dict(map(_change, changes))
    async with connect(server) as connection:
        found = await connection.client.tenant_limits(tenant)
        if changed:
            limits = with_changes(found.own, changed)
            found = await connection.client.put_tenant_limits(tenant, limits)
    if as_json:
        write_json(found)
        return ExitCode.OK
    own, effective = found.own.model_dump(), found.effective.model_dump()
    rows = [(name, _shown(limit, "no limit"), _shown(own[name], "")) for name, limit in effective.items()]
    write_rows(("LIMIT", "HOLDS", "OWN"), rows)
    return ExitCode.OK


def _change(text: str) -> tuple[str, str]:
    name, equals, amount = text.partition("=")
    if not equals or name not in TenantLimitsBody.model_fields:
        names = ", ".join(TenantLimitsBody.model_fields)
        raise InvalidInput(f"--set {text}: write NAME=AMOUNT, with a name of: {names}")
    return name, amount.strip()


def with_changes(own: TenantLimitsBody, changes: dict[str, str]) -> TenantLimitsBody:
    """The limits with these amounts. InvalidInput says in words what one would have to be."""
    given = own.model_dump()
    for name, amount in changes.items():
        given[name] = None if amount == DEFAULT else _value(name, amount)
    try:
        return TenantLimitsBody.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        told = f"--set {name}={changes.get(name, '')}: {_needed(first)}"
        raise InvalidInput(f"{told}; {DEFAULT} leaves the tenant no limit of its own") from None


def _needed(error: ErrorDetails) -> str:
    """What the amount would have to be."""
    bounds = error.get("ctx", {})
    match error["type"]:
        case "greater_than":
            return f"it must be above {bounds['gt']:g}"
        case "greater_than_equal":
            return f"it must be at least {bounds['ge']:,}"
        case "less_than_equal":
            return f"it must be at most {bounds['le']:,.0f}"
        case "string_pattern_mismatch":
            return "it must be an amount in USD, such as 25.00"
        case _:
            return "it must be a whole number"


def _value(name: str, amount: str) -> object:
    if name == _TEXT:
        return amount
    try:
        return float(amount)
    except ValueError:
        raise InvalidInput(
            f"--set {name}={amount}: that is no number; {DEFAULT} leaves the tenant no limit of its own"
        ) from None


def _shown(limit: object, without: str) -> str:
    if limit is None:
        return without
    return f"{limit:g}" if isinstance(limit, float) else str(limit)
