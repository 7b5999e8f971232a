"""Nothing dials but what is listed here, with whose word the address is; all else goes through the guarded client."""

import ast
from pathlib import Path

from tests.house.tree import ROOT, shown

SOURCE = ROOT / "src" / "chargehand"
CLIENTS = {
    "aiohttp", "anyio.connect_tcp", "asyncio.open_connection", "asyncio.open_unix_connection", "ftplib", "http.client",
    "genai_prices.update_prices", "httpcore", "httpcore2", "httpx", "httpx2", "imaplib", "jsonschema_rs", "niquests",
    "opentelemetry.exporter", "poplib", "pycurl", "requests", "smtplib", "socket", "ssl", "telnetlib",
    "urllib.request", "urllib3", "websockets", "xmlrpc",
}  # fmt: skip
"""Some are no clients by name: a validator that fetches what a schema refers to, an exporter of traces."""
MAY = {
    "network/addresses.py": "what the guard itself is made of",
    "network/guarded_connections.py": "what the guard itself is made of",
    "network/guarded_http.py": "what the guard itself is made of",
    "network/resolving.py": "what the guard itself is made of",
    "tools/mcp_transport.py": "through the guarded network, to what the operator's file names",
    "models/requests.py": "providers, and the operator's CHARGEHAND_MODEL_URLS",
    "models/wire.py": "providers, and the operator's CHARGEHAND_MODEL_URLS",
    "models/output_schema.py": "nothing: schemas are validated offline",
    "tools/mcp_tools.py": "nothing: what a schema refers to is not retrieved",
    "telemetry/traces.py": "the operator's collector (OTEL_EXPORTER_OTLP_ENDPOINT)",
    "app/supervisor.py": "the socket that systemd names in the environment",
    "client/access.py": "the SDK: the service that its user names",
    "client/answers.py": "the SDK: the service that its user names",
    "client/client.py": "the SDK: the service that its user names",
    "client/webhooks.py": "the SDK: the service that its user names",
    "app/core.py": "this host's name",
    "engine/working_folders.py": "this host's name",
    "engine/celery_acks.py": "the operator's broker",
    "serve/server.py": "it listens",
    "testkit/server.py": "it listens",
    "cli/diagnosis.py": "whether a port is free",
    "cli/fleet.py": "whether a port is free",
    "tools/sandbox/runner_start.py": "pipes to the runner",
    "tools/sandbox/seccomp_profiles.py": "numbers of address families",
}
"""Below it stand the servers of the operator (database, Redis, S3, broker), which libraries of their own speak to, and
the runner inside the sandbox, which has no network."""
INSIDE_SANDBOX = "tools/sandbox/runner/"


def dialling(path: Path) -> set[str]:
    """The names of CLIENTS that a module imports, wherever in it, or takes from a module."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Attribute) and (name := ast.unparse(node)) in CLIENTS:
            names = [name]
        found |= {client for client in CLIENTS for name in names if f"{name}.".startswith(f"{client}.")}
    return found


def test_only_listed_modules_hold_a_client_of_the_network() -> None:
    found = {
        path.relative_to(SOURCE).as_posix(): sorted(clients)
        for path in sorted(SOURCE.rglob("*.py"))
        if "blueprints" not in path.parts and (clients := dialling(path))
    }

    others = {
        place: clients
        for place, clients in found.items()
        if place not in MAY and not place.startswith(INSIDE_SANDBOX)
    }
    assert others == {}, "use network/guarded_http.py, or say here whose word the address is"
    assert set(MAY) <= set(found), "these dial no more"


def test_a_client_is_found_wherever_it_is_imported(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden.py"
    hidden.write_text(
        "import urllib.parse\nasync def f():\n    from urllib import request\n    import httpx2 as h\n"
        "    await asyncio.open_connection('x', 1)\n",
        encoding="utf-8",
    )

    assert dialling(hidden) == {"urllib.request", "httpx2", "asyncio.open_connection"}
    assert shown(SOURCE / "network") == "src/chargehand/network"
