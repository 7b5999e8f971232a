"""The work of `chargehand approvals`."""

import json

from chargehand.cli.connection import connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.lines import one_line, shortened, time_text
from chargehand.cli.listing import show_list
from chargehand.cli.output import write, write_fields, write_json, write_one
from chargehand.client.approvals import approval_listing, decision
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import InvalidInput
from chargehand.wire.rest import ApprovalBody


async def list_approvals(
    server: str | None, *, status: str | None, task_id: str | None, limit: int, as_json: bool
) -> ExitCode:
    """Approvals, newest first."""
    only = None if status == "all" else status
    return await show_list(
        server,
        lambda client, cursor, most: client.approvals(
            approval_listing(status=only, task_id=task_id, cursor=cursor, limit=most)
        ),
        ("APPROVAL", "STATUS", "AGENT", "UNTIL", "CALL"),
        lambda one: (one.id, one.status, one.agent_id, time_text(one.expires_at), what_text(one)),
        limit=limit,
        as_json=as_json,
        empty="nothing waits for a person" if status == "open" else "there is none",
    )


def what_text(one: ApprovalBody) -> str:
    """The call in one line, with the arguments that a person has put in where one did."""
    arguments = one.arguments if one.edited_arguments is None else one.edited_arguments
    subject = next((arguments[key] for key in ("command", "file_path", "url") if key in arguments), None)
    shown = subject if isinstance(subject, str) else json.dumps(arguments, ensure_ascii=False)
    return f"{one.tool} {shortened(one_line(shown), 120)}"


async def show_approval(approval_id: str, server: str | None, *, as_json: bool) -> ExitCode:
    """One approval."""
    async with connect(server) as connection:
        found = await connection.client.approval(approval_id)
    return write_one(found, _write, as_json=as_json)


def _write(one: ApprovalBody) -> None:
    edited = one.edited_arguments
    write_fields(
        [
            ("approval", one.id),
            ("status", one.status),
            ("task", f"{one.task_id} (step {one.path})"),
            ("agent", one.agent_id),
            ("tool", one.tool),
            ("arguments", json.dumps(one.arguments, ensure_ascii=False)),
            ("asked by", one.why),
            ("changed to", json.dumps(edited, ensure_ascii=False) if edited is not None else ""),
            ("reason", one.comment or ""),
            ("until", f"{time_text(one.expires_at)}, then {one.default_action}"),
            (
                "decided",
                f"{time_text(one.decided_at)} by {one.decided_by or 'nobody'}" if one.decided_at else "",
            ),
        ]
    )
    if one.status == "open":
        write(f"\ndecide with: chargehand approvals approve {one.id}")
        write(f"         or: chargehand approvals deny {one.id} --reason TEXT")


async def decide(
    approval_id: str,
    server: str | None,
    *,
    approve: bool,
    arguments: str | None,
    reason: str | None,
    as_json: bool,
) -> ExitCode:
    """Decide one; bound to the call as it is now."""
    edited = None if arguments is None else _arguments(arguments)
    async with connect(server) as connection:
        client = connection.client
        seen = await client.approval(approval_id)
        call = decision(
            approval_id, approve=approve, arguments_hash=seen.arguments_hash, arguments=edited, reason=reason
        )
        decided = await client.decide(call)
    if as_json:
        write_json(decided)
    else:
        write(f"{decided.status}: {what_text(decided)}")
        if decided.edited_arguments is not None:
            write(f"it is run with: {_json(decided.edited_arguments)}")
        if connection.is_own:
            say(f"no service runs; go on with: chargehand tasks watch {decided.task_id}")
    return ExitCode.OK


def _json(value: JsonObject) -> str:
    return shortened(one_line(json.dumps(value, ensure_ascii=False)), 2000)


def _arguments(text: str) -> JsonObject:
    try:
        found: JsonValue = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidInput(f"--arguments is a JSON object, not {shortened(text, 80)!r}")
    return found
