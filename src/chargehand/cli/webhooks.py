"""The work of `chargehand webhooks`."""

from collections.abc import Sequence

from chargehand.cli.connection import Connection, connect
from chargehand.cli.exits import ExitCode, say
from chargehand.cli.inputs import labels_of
from chargehand.cli.lines import shortened, time_text
from chargehand.cli.listing import show_list
from chargehand.cli.output import write, write_fields, write_json, write_one, write_rows
from chargehand.domain.values import JsonObject
from chargehand.wire.webhooks import WebhookBody, WebhookDeliveryBody, WebhookDeliveryDetail, WebhookMade


async def add_webhook(
    url: str,
    server: str | None,
    *,
    kinds: Sequence[str],
    agents: Sequence[str],
    labels: Sequence[str],
    with_children: bool,
    description: str,
    as_json: bool,
) -> ExitCode:
    """A new webhook, with its secret."""
    async with connect(server) as connection:
        made = await connection.client.webhooks.create(
            url,
            kinds=kinds,
            agents=agents,
            labels=labels_of(labels),
            with_children=with_children,
            description=description,
        )
    _tell_made(made, connection, as_json=as_json)
    return ExitCode.OK


async def list_webhooks(server: str | None, *, limit: int, as_json: bool) -> ExitCode:
    """Webhooks, newest first."""
    return await show_list(
        server,
        lambda client, cursor, most: client.webhooks.list(cursor=cursor, limit=most),
        ("WEBHOOK", "URL", "STATE", "DESCRIPTION"),
        lambda one: (one.id, shortened(one.url, 60), _state(one), shortened(one.description, 40)),
        limit=limit,
        as_json=as_json,
        empty="there is none; make one with: chargehand webhooks add --help",
    )


async def show_webhook(webhook_id: str, server: str | None, *, as_json: bool) -> ExitCode:
    """One webhook."""
    async with connect(server) as connection:
        found = await connection.client.webhooks.get(webhook_id)
    return write_one(found, lambda one: write_fields(_fields(one)), as_json=as_json)


async def change_webhook(
    webhook_id: str,
    server: str | None,
    *,
    url: str | None,
    kinds: Sequence[str],
    agents: Sequence[str],
    labels: Sequence[str],
    description: str | None,
    as_json: bool,
) -> ExitCode:
    """Give it other values where some are given."""
    changes: JsonObject = {}
    if url is not None:
        changes["url"] = url
    if description is not None:
        changes["description"] = description
    if kinds:
        changes["kinds"] = list(kinds)
    if agents:
        changes["agents"] = list(agents)
    if labels:
        changes["labels"] = {**labels_of(labels)}
    async with connect(server) as connection:
        changed = await connection.client.webhooks.change(webhook_id, changes)
    return write_one(changed, _write_state, as_json=as_json)


async def set_enabled(webhook_id: str, server: str | None, *, is_enabled: bool, as_json: bool) -> ExitCode:
    """Stop it, or let it go on."""
    async with connect(server) as connection:
        changed = await connection.client.webhooks.change(webhook_id, {"is_enabled": is_enabled})
    return write_one(changed, _write_state, as_json=as_json)


async def rotate_secret(
    webhook_id: str, server: str | None, *, overlap_seconds: int, as_json: bool
) -> ExitCode:
    """A new secret."""
    async with connect(server) as connection:
        made = await connection.client.webhooks.rotate_secret(webhook_id, overlap_seconds=overlap_seconds)
    _tell_made(made, connection, as_json=as_json)
    return ExitCode.OK


async def test_webhook(webhook_id: str, server: str | None, *, as_json: bool) -> ExitCode:
    """A message, once and now; the exit code says whether it arrived."""
    async with connect(server) as connection:
        sent = await connection.client.webhooks.test(webhook_id)
    write_one(sent, lambda one: write(_outcome(one)), as_json=as_json)
    return ExitCode.OK if sent.status == "delivered" else ExitCode.FAILED


async def remove_webhook(webhook_id: str, server: str | None) -> ExitCode:
    """No more of it."""
    async with connect(server) as connection:
        await connection.client.webhooks.remove(webhook_id)
    write(f"removed {webhook_id}")
    return ExitCode.OK


async def list_deliveries(
    webhook_id: str, server: str | None, *, status: str | None, limit: int, as_json: bool
) -> ExitCode:
    """What was or is to be sent."""
    return await show_list(
        server,
        lambda client, cursor, most: client.webhooks.deliveries(
            webhook_id, status=status, cursor=cursor, limit=most
        ),
        ("DELIVERY", "EVENT", "STATUS", "TRIES", "WHEN"),
        lambda one: (one.id, one.kind, one.status, str(one.attempts), _when(one)),
        limit=limit,
        as_json=as_json,
    )


async def show_delivery(webhook_id: str, delivery_id: str, server: str | None, *, as_json: bool) -> ExitCode:
    """One delivery with its tries."""
    async with connect(server) as connection:
        found = await connection.client.webhooks.delivery(webhook_id, delivery_id)
    return write_one(found, _write_delivery, as_json=as_json)


def _write_delivery(found: WebhookDeliveryDetail) -> None:
    write_fields(
        [
            ("delivery", found.id),
            ("event", found.kind),
            ("task", found.task_id or ""),
            ("status", _outcome(found)),
            ("next", time_text(found.next_at) if found.next_at else ""),
        ]
    )
    rows = [
        (
            str(one.number),
            time_text(one.at),
            f"{one.milliseconds} ms",
            str(one.response_status or ""),
            one.error or "",
        )
        for one in found.tries
    ]
    if rows:
        write_rows(("TRY", "AT", "TOOK", "STATUS", "ERROR"), rows)


async def redeliver(webhook_id: str, delivery_id: str, server: str | None, *, as_json: bool) -> ExitCode:
    """Once more."""
    async with connect(server) as connection:
        again = await connection.client.webhooks.redeliver(webhook_id, delivery_id)
    if as_json:
        write_json(again)
    else:
        write(f"{again.id}: to be sent again")
        _tell_of_own(connection)
    return ExitCode.OK


def _tell_made(made: WebhookMade, connection: Connection, *, as_json: bool) -> None:
    if as_json:
        write_json(made)
        return
    write_fields([*_fields(made), ("secret", made.secret)])
    say("keep the secret: it is not shown again")
    _tell_of_own(connection)


def _tell_of_own(connection: Connection) -> None:
    if connection.is_own:
        say("no service runs; messages are sent while one does: chargehand serve")


def _write_state(changed: WebhookBody) -> None:
    write(f"{changed.id}: {_state(changed)}")


def _fields(one: WebhookBody) -> list[tuple[str, str]]:
    return [
        ("webhook", one.id),
        ("url", one.url),
        ("state", _state(one)),
        ("events", ", ".join(one.kinds)),
        ("agents", ", ".join(one.agents)),
        ("labels", ", ".join(f"{key}={value}" for key, value in one.labels.items())),
        ("children", "too" if one.with_children else ""),
        ("description", one.description),
        ("last success", time_text(one.last_success_at) if one.last_success_at else ""),
    ]


def _state(one: WebhookBody) -> str:
    if one.disabled_reason is not None:
        return f"disabled ({one.disabled_reason})"
    return f"failing since {time_text(one.failing_since)}" if one.failing_since else "enabled"


def _outcome(one: WebhookDeliveryBody) -> str:
    return f"{one.status}: {one.error}" if one.error else one.status


def _when(one: WebhookDeliveryBody) -> str:
    if one.ended_at is not None:
        return time_text(one.ended_at)
    return f"next {time_text(one.next_at)}" if one.next_at else "when it is enabled"
