"""An MCP server on standard input and output, without the protocol's package; tests give its text to `python -c`.

What it does is said by the text that it is called with, and by its first argument (at its start).
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import time
from typing import Any

TOOL = {
    "name": "do",
    "description": "Does it.",
    "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


def answer(method: str, params: dict[str, Any]) -> Any:
    match method:
        case "initialize":
            info = {"name": "program", "version": "1"}
            version = params["protocolVersion"]
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
        case "tools/list":
            return {"tools": [TOOL]}
        case "tools/call":
            return {"content": [{"type": "text", "text": done(params["arguments"]["text"])}]}
        case _:
            return None


def done(text: str) -> str:
    what, _, more = text.partition(" ")
    misbehave(what, more)
    match what:
        case "connect":
            return attempt(lambda: socket.create_connection(("127.0.0.1", int(more)), timeout=2).close())
        case "read":
            return attempt(pathlib.Path(more).read_text)
        case "write":
            return attempt(lambda: pathlib.Path(more).write_text("x", "utf-8"))
        case "environment":
            return json.dumps(dict(os.environ))
        case _:
            return f"did {text}"


def misbehave(what: str, more: str) -> None:
    match what:
        case "hang":
            subprocess.Popen(["sleep", more], start_new_session=True)  # noqa: S607 - a test's own
            time.sleep(600)
        case "garbage":
            say(more)
        case "many":
            for _ in range(200):
                say("what?")
        case "endless":
            while True:
                sys.stdout.write("x" * 1_000_000)
        case "long":
            for _ in range(100):
                sys.stdout.write("x" * 1_000_000)
            say("")
        case "die":
            sys.stderr.write(f"cannot go on with {os.environ.get('DESK_TOKEN')}\n")
            sys.exit(3)
        case _:
            pass


def attempt(act: Any) -> str:
    try:
        return f"could: {act()}"
    except OSError as error:
        return f"could not: {type(error).__name__}"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    if sys.argv[1:] == ["greets"]:
        say("Welcome!")
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        result = answer(asked["method"], asked.get("params") or {})
        error = {"code": -32601, "message": "no such method"}
        told = {"error": error} if result is None else {"result": result}
        say(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **told}))


main()
