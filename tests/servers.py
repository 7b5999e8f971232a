"""Servers that some tests need and a newcomer's machine need not have.

Rule: a server that is not there is a skip with its reason on a person's machine, and a failure where CI=true,
so that a pipeline without it is never green.
"""

import os
import socket
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import urlsplit

import pytest

DEFAULT_PORTS = {"postgresql": 5432, "mysql": 3306, "redis": 6379, "rabbitmq": 5672}
DEFAULT_URLS = {
    "postgresql": "postgresql://postgres@127.0.0.1:5432/postgres",
    "mysql": "mysql://root@127.0.0.1:3306/mysql",
    "redis": "redis://127.0.0.1:6379/15",
    "rabbitmq": "amqp://guest:guest@127.0.0.1:5672/",
}
"""What a server that was just installed answers to."""


def server_or_skip(kind: str, variables: Mapping[str, str] = os.environ) -> str:
    """The URL in CHARGEHAND_TEST_<KIND>_URL or the usual one, when a server answers there."""
    name = f"CHARGEHAND_TEST_{kind.upper()}_URL"
    url = variables.get(name) or DEFAULT_URLS[kind]
    place = urlsplit(url)
    host, port = place.hostname or "127.0.0.1", place.port or DEFAULT_PORTS[kind]
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as failure:
        _missing(
            f"no {kind} server answers at {host}:{port}, where {name} would have it (tests/README.md): {failure}",
            variables,
        )
    return url


def _missing(reason: str, variables: Mapping[str, str]) -> NoReturn:
    if variables.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
