"""`chargehand webhooks`: events that are sent to other programs."""

from typing import TYPE_CHECKING, Annotated

import typer

from chargehand.cli.exits import ExitCode
from chargehand.cli.lazily import Lazily
from chargehand.cli.options import AsJson, Limit, Server, command, typer_app

if TYPE_CHECKING:
    from chargehand.cli import webhooks
else:
    webhooks = Lazily("chargehand.cli.webhooks")

app = typer_app("Have events sent to other programs, signed, until they arrive.")
WebhookId = Annotated[str, typer.Argument(metavar="WEBHOOK", help="The webhook's id.")]
DeliveryId = Annotated[str, typer.Argument(metavar="DELIVERY", help="The delivery's id.")]
Events = Annotated[
    list[str] | None,
    typer.Option(
        "--event", metavar="KIND", help="Which kind of event, such as task.failed; may be repeated."
    ),
]
Agents = Annotated[
    list[str] | None,
    typer.Option("--agent", metavar="AGENT", help="Only this agent's tasks; may be repeated."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY=VALUE", help="Only tasks with this label; may be repeated."),
]


@app.command()
@command
async def add(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where the events are sent.")],
    event: Events = None,
    agent: Agents = None,
    label: Labels = None,
    children: Annotated[
        bool, typer.Option("--children", help="Also the events of tasks that tasks delegate.")
    ] = False,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What it is for.")] = "",
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Have events sent to an address; prints the secret that its receiver verifies them with.

    \b
    Examples:
      chargehand webhooks add https://example.com/hooks
      chargehand webhooks add https://example.com/hooks --event task.failed --label team=shop
    """
    return await webhooks.add_webhook(
        url,
        server,
        kinds=event or [],
        agents=agent or [],
        labels=label or [],
        with_children=children,
        description=description,
        as_json=as_json,
    )


@app.command("list")
@command
async def list_(limit: Limit = 50, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """List webhooks, newest first, and whether their receivers take what is sent.

    \b
    Example:
      chargehand webhooks list
    """
    return await webhooks.list_webhooks(server, limit=limit, as_json=as_json)


@app.command()
@command
async def show(webhook: WebhookId, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Show one: what it is told, and how its receiver does.

    \b
    Example:
      chargehand webhooks show 0190f7a2-91b4-7c3d-8a55-0242ac120002
    """
    return await webhooks.show_webhook(webhook, server, as_json=as_json)


@app.command()
@command
async def change(
    webhook: WebhookId,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Send there.")] = None,
    event: Events = None,
    agent: Agents = None,
    label: Labels = None,
    description: Annotated[
        str | None, typer.Option("--description", metavar="TEXT", help="What it is for.")
    ] = None,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Change what is given; what is not given stays as it is.

    \b
    Example:
      chargehand webhooks change 0190f7a2-91b4-7c3d-8a55-0242ac120002 --event task.failed
    """
    return await webhooks.change_webhook(
        webhook,
        server,
        url=url,
        kinds=event or [],
        agents=agent or [],
        labels=label or [],
        description=description,
        as_json=as_json,
    )


@app.command()
@command
async def enable(webhook: WebhookId, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Let it go on, with all that waited while it was disabled.

    \b
    Example:
      chargehand webhooks enable 0190f7a2-91b4-7c3d-8a55-0242ac120002
    """
    return await webhooks.set_enabled(webhook, server, is_enabled=True, as_json=as_json)


@app.command()
@command
async def disable(webhook: WebhookId, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Send nothing more; events that happen meanwhile are not kept for it.

    \b
    Example:
      chargehand webhooks disable 0190f7a2-91b4-7c3d-8a55-0242ac120002
    """
    return await webhooks.set_enabled(webhook, server, is_enabled=False, as_json=as_json)


@app.command("test")
@command
async def send_test(webhook: WebhookId, server: Server = None, as_json: AsJson = False) -> ExitCode:
    """Send a message now, once; exits with 0 when it arrived.

    \b
    Example:
      chargehand webhooks test 0190f7a2-91b4-7c3d-8a55-0242ac120002
    """
    return await webhooks.test_webhook(webhook, server, as_json=as_json)


@app.command()
@command
async def rotate_secret(
    webhook: WebhookId,
    overlap: Annotated[
        int,
        typer.Option(
            "--overlap",
            min=0,
            max=2_592_000,
            metavar="SECONDS",
            help="For so long the secret before the new one signs too.",
        ),
    ] = 86_400,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """Make a new secret and print it.

    \b
    Examples:
      chargehand webhooks rotate-secret 0190f7a2-91b4-7c3d-8a55-0242ac120002
      chargehand webhooks rotate-secret 0190f7a2-91b4-7c3d-8a55-0242ac120002 --overlap 0
    """
    return await webhooks.rotate_secret(webhook, server, overlap_seconds=overlap, as_json=as_json)


@app.command()
@command
async def remove(webhook: WebhookId, server: Server = None) -> ExitCode:
    """End a webhook; what waits for it is not sent.

    \b
    Example:
      chargehand webhooks remove 0190f7a2-91b4-7c3d-8a55-0242ac120002
    """
    return await webhooks.remove_webhook(webhook, server)


@app.command()
@command
async def deliveries(
    webhook: WebhookId,
    status: Annotated[
        str | None, typer.Option("--status", metavar="STATUS", help="pending, delivered or failed.")
    ] = None,
    limit: Limit = 50,
    server: Server = None,
    as_json: AsJson = False,
) -> ExitCode:
    """List what was sent and what is to be, newest first.

    \b
    Example:
      chargehand webhooks deliveries 0190f7a2-91b4-7c3d-8a55-0242ac120002 --status failed
    """
    return await webhooks.list_deliveries(webhook, server, status=status, limit=limit, as_json=as_json)


@app.command()
@command
async def delivery(
    webhook: WebhookId, delivery: DeliveryId, server: Server = None, as_json: AsJson = False
) -> ExitCode:
    """Show one delivery with all its tries.

    \b
    Example:
      chargehand webhooks delivery WEBHOOK DELIVERY
    """
    return await webhooks.show_delivery(webhook, delivery, server, as_json=as_json)


@app.command()
@command
async def redeliver(
    webhook: WebhookId, delivery: DeliveryId, server: Server = None, as_json: AsJson = False
) -> ExitCode:
    """Send a delivery again, with the same id and as many tries as a new one.

    \b
    Example:
      chargehand webhooks redeliver WEBHOOK DELIVERY
    """
    return await webhooks.redeliver(webhook, delivery, server, as_json=as_json)
