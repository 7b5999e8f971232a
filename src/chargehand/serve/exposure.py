"""Settings that would open the service to more than its operator means: refused before it listens, each by its name."""

import re

from chargehand.errors import InvalidInput
from chargehand.serve.client_address import trusted_networks
from chargehand.serve.cors import check_origins
from chargehand.settings import LOOPBACK_HOSTS, Settings

_HOST_NAME = re.compile(r"\[[0-9a-f:.]+\]|[0-9a-f]*:[0-9a-f:.]+|[a-z0-9._-]+")
"""A name that a service may be called by, in lower case; an IPv6 address with its brackets or without."""


def refuse_unsafe(settings: Settings) -> None:
    """Settings under which a web page or a stranger could call the service; told before it listens."""
    check_origins(settings)
    trusted_networks(settings.trusted_proxies)
    for host in settings.trusted_hosts:
        if not _HOST_NAME.fullmatch(host.lower()):
            raise InvalidInput(
                f"trusted_hosts cannot hold {host[:200]!r}: list the names that clients call the service by, each"
                " alone, without scheme, port, path or '*'"
            )
    if settings.host not in LOOPBACK_HOSTS and not settings.trusted_hosts:
        raise InvalidInput(
            f"host {settings.host!r} can be reached from other machines; set trusted_hosts to the names that"
            " clients call the service by, or listen on 127.0.0.1"
        )
    if settings.behind_tls and not settings.trusted_hosts:
        raise InvalidInput(
            "behind_tls needs trusted_hosts: the names that clients call the service by, for which the proxy has the"
            " certificate"
        )
