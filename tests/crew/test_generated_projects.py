"""Delivered services: each passes its own checks and its own tests, and holds what its OpenAPI document says."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chargehand.crew.blueprint import render
from chargehand.crew.specification import parse_specification

HERE = Path(__file__).parent
BOOKSTORE = (HERE.parents[1] / "examples" / "bookstore.yaml").read_text(encoding="utf-8")
TOOL_SHED = (HERE / "specifications" / "tool_shed.yaml").read_text(encoding="utf-8")
LEAST = (
    "service: {name: jot}\nresources:\n  note:\n    fields:\n      text: {type: string, max_length: 200}\n"
)
LIMIT_SECONDS = 240
# The other plugins of this environment take longer to load than the tests to run.
PYTEST = ("-m", "pytest", "-q", "-p", "pytest_cov", "--cov", "-p", "no:cacheprovider")


@pytest.fixture(scope="session")
def projects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The three services, as they are delivered."""
    found: dict[str, Path] = {}
    for name, text in {"bookstore": BOOKSTORE, "tool-shed": TOOL_SHED, "least": LEAST}.items():
        spec = parse_specification(text)
        found[name] = tmp_path_factory.mktemp(name)
        for part in ("database", "service", "tests"):
            for path, content in render(spec, part).items():
                target = found[name] / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(content, encoding="utf-8", newline="\n")
    return found


def run(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **inherited(), **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=LIMIT_SECONDS,
        check=False,
    )


def inherited() -> dict[str, str]:
    """What Windows needs to start anything."""
    return {name: os.environ[name] for name in ("SYSTEMROOT", "TEMP", "TMP") if name in os.environ}


@pytest.mark.parametrize("name", ["bookstore", "tool-shed", "least"])
def test_its_code_passes_its_own_checks(projects: dict[str, Path], name: str) -> None:
    for arguments in (["check"], ["format", "--check"]):
        done = run(projects[name], "-m", "ruff", *arguments, "--no-cache", ".")
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["bookstore", "tool-shed"])
def test_its_types_are_right(projects: dict[str, Path], name: str) -> None:
    configuration = {
        "include": ["src", "tests"],
        "extraPaths": ["src"],
        "typeCheckingMode": "standard",
        "pythonVersion": "3.11",
    }
    (projects[name] / "pyrightconfig.json").write_text(json.dumps(configuration), encoding="utf-8")

    done = run(projects[name], "-m", "basedpyright", "--pythonpath", sys.executable)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["bookstore", "tool-shed", "least"])
def test_its_tests_pass_and_cover_it(projects: dict[str, Path], name: str) -> None:
    done = run(projects[name], *PYTEST)

    assert done.returncode == 0, done.stdout[-5000:]
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout.splitlines()[-1]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def served(folder: Path, prefix: str) -> Generator[str]:
    """The service, started as its README says; gives its address."""
    port = free_port()
    settings = {f"{prefix}_RATE_LIMIT_REQUESTS": "1000000", f"{prefix}_LOGIN_ATTEMPTS_PER_MINUTE": "100000"}
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--port", str(port)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **inherited(), **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        await_health(f"{address}/health")
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)


def await_health(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310  our own address
                assert response.status == 200
                return
        except OSError:
            assert time.monotonic() < deadline, "the service did not start"


def fuzzed(folder: Path, address: str, *headers: str) -> subprocess.CompletedProcess[str]:
    """Try the service against its OpenAPI document, all checks on."""
    arguments = [each for header in headers for each in ("-H", header)]
    command = [
        "-m",
        "schemathesis.cli",
        "run",
        f"{address}/openapi.json",
        "--max-examples",
        "4",
        "--no-color",
    ]
    return run(folder, *command, "--seed", "7", *arguments)


@pytest.mark.parametrize("who", ["librarian", "nobody"])
def test_the_bookstore_holds_what_its_document_says(projects: dict[str, Path], who: str) -> None:
    folder = projects["bookstore"]
    assert run(folder, "manage.py", "init").returncode == 0
    assert run(folder, "manage.py", "migrate").returncode == 0

    with served(folder, "BOOKSTORE") as address:
        headers = [f"Authorization: Bearer {token(folder, address)}"] if who == "librarian" else []
        done = fuzzed(folder, address, *headers)

    assert done.returncode == 0, done.stdout[-6000:]


def token(folder: Path, address: str) -> str:
    """What a librarian sends to be known."""
    credentials = {"email": "ada@example.org", "password": "correct horse battery"}
    made = subprocess.run(
        [sys.executable, "manage.py", "create-account", "--email", credentials["email"], "--password-stdin"],
        cwd=folder,
        input=credentials["password"] + "\n",
        text=True,
        capture_output=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    request = urllib.request.Request(  # noqa: S310  our own address
        f"{address}/auth/login", json.dumps(credentials).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=20) as response:  # noqa: S310  as above
        return str(json.load(response)["access_token"])
