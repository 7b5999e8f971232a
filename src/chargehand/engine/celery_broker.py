"""What is wrong with a RabbitMQ broker, in words that name the setting; nothing is declared or changed there."""

from typing import Any
from urllib.parse import unquote, urlsplit

# The package has no type information: what comes from it is Any.
from kombu import Connection  # pyright: ignore[reportPrivateImportUsage] - its documented place

from chargehand.store.address import shown

SETTING = "CHARGEHAND_BROKER_URL"
ANSWER_SECONDS = 4


def amqp_problems(url: str) -> list[str]:
    """What stands in the way of using it; nothing: it will do. Blocks for some seconds at most."""
    where = f"{SETTING} ({shown(url)})"
    limits = {f"{name}_timeout": ANSWER_SECONDS for name in ("connect", "read", "write")}
    try:
        connection: Any = Connection(url, connect_timeout=ANSWER_SECONDS, transport_options=limits)
        try:
            connection.connect()
        finally:
            connection.release()
    except Exception as error:  # noqa: BLE001 - a transport's errors have no common base
        return [f"{where}: {_told(error, unquote(urlsplit(url).path[1:]) or '/')}"]
    return []


def _told(error: Exception, virtual_host: str) -> str:
    said = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
    if "NOT_ALLOWED" in said and "not found" in said:
        return (
            f"the broker has no virtual host {virtual_host!r}; add it (rabbitmqctl add_vhost) or correct it"
        )
    if "NOT_ALLOWED" in said or "access to vhost" in said:
        return f"the broker does not let this user into the virtual host {virtual_host!r}; grant it (set_permissions)"
    if "ACCESS_REFUSED" in said:
        return "the broker refuses the name or password of this address; correct them"
    if isinstance(error, ConnectionRefusedError) or "Name or service" in said or "unreachable" in said:
        return f"no broker can be reached there ({said}); start it, or correct the address"
    return f"what answers there is no AMQP broker such as RabbitMQ ({said}); look at the host and the port"
