"""Whatever is wrong is told in one to three lines that name the thing and the way out; scripts read the code."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.service import Cli, Running, running_service

SPECIFICATION = """\
service:
  name: shop
resources:
  item:
    fields:
      title: string
      price: integer
"""


def refused(cli: Cli, *arguments: str, code: int, told: str, stdin: str = "") -> str:
    """What must be refused; what it told, in whole."""
    return as_refused(cli.call(*arguments, stdin=stdin), code, told)


def refused_at_start(cli: Cli, *arguments: str, code: int, told: str) -> str:
    """The same of what begins a service, and so sets up the logging of a whole process."""
    return as_refused(cli.run(*arguments), code, told)


def as_refused(done: subprocess.CompletedProcess[str], code: int, told: str) -> str:
    assert done.returncode == code, done.stdout + done.stderr
    assert re.search(told, done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 3, done.stderr
    assert done.stdout == ""
    return done.stderr


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


@contextmanager
def a_stranger(status: int, body: bytes, content_type: str = "text/html", **headers: str) -> Generator[str]:
    """A web server that is no Chargehand."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_service_that_is_down_is_named(cli: Cli, service: Running) -> None:
    url = f"http://127.0.0.1:{a_free_port()}"

    refused(cli, "agents", "list", "--server", url, code=6, told=f"no service answers at {url}")


@pytest.mark.parametrize(
    ("status", "body", "content_type"),
    [
        (200, b"<html>hello</html>", "text/html"),
        (200, b'{"items": "none"}', "application/json"),
        (404, b"not here", "text/plain"),
        (500, b'{"message": "oops"}', "application/json"),
    ],
)
def test_a_server_that_is_no_chargehand_is_told_as_such(
    cli: Cli, service: Running, status: int, body: bytes, content_type: str
) -> None:
    with a_stranger(status, body, content_type) as url:
        told = rf"{url} does not answer as a Chargehand service does \(HTTP {status}, {content_type}\)"
        refused(cli, "agents", "list", "--server", url, code=6, told=told)


def test_a_redirect_is_not_followed_with_the_key_but_told(cli: Cli, service: Running) -> None:
    with a_stranger(302, b"", Location="http://127.0.0.1:9/elsewhere") as url:
        refused(
            cli, "agents", "list", "--server", url, code=6, told="and points to http://127.0.0.1:9/elsewhere"
        )


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "http://", "http://127.0.0.1:port", "http://127.0.0.1:99999"]
)
def test_an_address_that_is_none_is_refused(cli: Cli, url: str) -> None:
    refused(
        cli,
        "agents",
        "list",
        "--server",
        url,
        code=2,
        told=f"'{url}' is no address of a service; write it like",
    )


def test_a_wrong_key_is_refused(cli: Cli, service: Running) -> None:
    wrong = cli.with_environment(CHARGEHAND_KEY="chk_wrong")

    refused(wrong, "agents", "list", code=5, told="key")


def test_a_key_with_characters_that_no_key_has_is_refused_before_it_is_sent(
    cli: Cli, service: Running
) -> None:
    wrong = cli.with_environment(CHARGEHAND_KEY="two words")

    refused(wrong, "agents", "list", code=5, told="copy it again from where it was made")


def test_without_any_key_the_variable_and_the_file_are_named(alone: Cli, service: Running) -> None:
    told = f"CHARGEHAND_KEY is not set and there is none in .*{alone.data_dir.name}"

    refused(alone, "agents", "list", "--server", service.url, code=5, told=told)


def test_the_key_of_this_machine_is_not_sent_to_another(cli: Cli, service: Running) -> None:
    refused(
        cli,
        "agents",
        "list",
        "--server",
        "https://chargehand.invalid",
        code=5,
        told="CHARGEHAND_KEY is not set",
    )


def test_an_unknown_agent_comes_with_close_matches(cli: Cli, service: Running) -> None:
    refused(cli, "run", "greter", code=4, told=r"there is no agent 'greter'; registered: greeter")


@pytest.mark.parametrize("task_id", ["nonsense", "0190f7a2-91b4-7c3d-8a55-0242ac120002", "../agents", "a/b"])
def test_an_unknown_task_is_not_found(cli: Cli, service: Running, task_id: str) -> None:
    refused(cli, "tasks", "show", task_id, code=4, told="there is no(?: such)? (task|path)")


def test_a_specification_is_told_with_file_line_and_hint(cli: Cli, service: Running, tmp_path: Path) -> None:
    spec = tmp_path / "bad.yaml"
    spec.write_text(SPECIFICATION.replace("title: string", "title: strng"), encoding="utf-8")

    told = refused(cli, "run", "backend-developer", "--spec", str(spec), code=2, told=r"bad\.yaml:6: ")

    assert re.fullmatch(rf"{re.escape(str(spec))}:6: .*strng.*\(.+\)\n", told)


def test_a_definition_is_told_with_file_and_line(cli: Cli, service: Running, tmp_path: Path) -> None:
    file = tmp_path / "agent.md"
    file.write_text("---\nname: x\ndescription: a: b: c\ntools: Nothing\n---\nDo it.\n", encoding="utf-8")

    refused(cli, "agents", "put", str(file), code=2, told=r"agent\.md:4: tools: there is no tool 'Nothing'")


def test_input_that_is_no_json_is_told_with_its_place(cli: Cli, service: Running) -> None:
    refused(
        cli, "run", "greeter", "--data", "-", stdin="{\n1}", code=2, told="standard input: line 2, column 1: "
    )


def test_a_missing_file_is_named(cli: Cli, service: Running) -> None:
    refused(
        cli, "run", "greeter", "--spec", "nowhere.yaml", code=2, told=r"there is no file nowhere\.yaml in "
    )


def test_a_target_folder_with_something_in_it_is_refused_before_the_task_is_sent(
    cli: Cli, service: Running, tmp_path: Path
) -> None:
    (tmp_path / "mine").write_text("x", encoding="utf-8")
    before = len(cli.call("tasks", "list", "--limit", "1000").stdout.splitlines())

    refused(
        cli, "run", "greeter", "--out", str(tmp_path), code=2, told="is not empty; name another with --out"
    )

    assert len(cli.call("tasks", "list", "--limit", "1000").stdout.splitlines()) == before


def test_a_status_that_is_none_is_told_with_those_that_are(cli: Cli, service: Running) -> None:
    refused(cli, "tasks", "list", "--status", "done", code=2, told="status: is no status .*pending.*canceled")


def test_a_setting_that_is_wrong_is_named(alone: Cli) -> None:
    refused(
        alone.with_environment(CHARGEHAND_PORT="many"), "tasks", "list", code=2, told="CHARGEHAND_PORT=many: "
    )
    refused(
        alone.with_environment(CHARGEHAND_FUNCTIONS="f=a:b"),
        "tasks",
        "list",
        code=2,
        told="write a JSON list",
    )


def test_a_second_service_on_the_same_data_folder_is_refused(cli: Cli, service: Running) -> None:
    told = refused_at_start(cli, "serve", "--port", "0", code=6, told="the data folder .* is held by process")

    assert service.url in told


def test_an_upgrade_under_a_running_service_is_refused(cli: Cli, service: Running) -> None:
    refused(cli, "db", "upgrade", code=6, told="is held by process")


def test_a_port_in_use_is_named_with_the_way_out(alone: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        refused_at_start(alone, "serve", "--port", port, code=6, told=rf"{port}.*in use")


def test_a_data_folder_that_cannot_be_written_is_named(alone: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    wrong = alone.with_environment(CHARGEHAND_DATA_DIR=str(tmp_path / "file" / "data"))

    refused_at_start(
        wrong, "tasks", "list", code=6, told="the data folder .* cannot be used .*set CHARGEHAND_DATA_DIR"
    )


def test_a_task_that_needs_a_model_is_refused_at_submission(
    cli: Cli, service: Running, tmp_path: Path
) -> None:
    file = tmp_path / "thinker.md"
    file.write_text("---\nname: thinker\ndescription: Thinks.\n---\nThink.\n", encoding="utf-8")
    assert cli.call("agents", "put", str(file)).returncode == 0

    refused(cli, "run", "thinker", "--prompt", "Think!", code=2, told="model")


def test_a_closed_standard_output_is_no_error(cli: Cli, service: Running) -> None:
    code = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"

    done = subprocess.run(
        [sys.executable, "-c", code, "-m", "chargehand", "agents", "list"],
        env=dict(cli.environment),
        cwd=cli.folder,
        stderr=subprocess.PIPE,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_an_output_that_cannot_be_written_is_told(cli: Cli, service: Running) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            cli.argv("agents", "list"), env=dict(cli.environment), cwd=cli.folder, stdout=full, stderr=subprocess.PIPE,
            check=False,
        )  # fmt: skip

    assert done.returncode == 6
    assert done.stderr.decode() == f"chargehand: {os.strerror(28)}; free some space\n"


def test_a_service_that_goes_away_while_a_task_is_watched_is_told_and_the_watch_goes_on_when_it_is_back(
    alone: Cli,
) -> None:
    port = a_free_port()
    fixed = alone.with_environment(CHARGEHAND_PORT=str(port))
    with running_service(fixed, "--port", str(port)) as first:
        process = fixed.start("run", "asker", "--server", first.url)
        assert process.stdout is not None
        assert process.stderr is not None
        while "waits: question" not in process.stdout.readline():
            pass
        first.process.kill()
        first.process.wait()

        line = ""
        while "trying again" not in line:
            line = process.stderr.readline()
            assert line, "the watch ended"
    with running_service(fixed, "--port", str(port)):
        task_id = fixed.run("tasks", "list", "--status", "waiting").stdout.splitlines()[1].split()[0]
        fixed.run("tasks", "answer", task_id, "red")
        out, _ = process.communicate(timeout=60)

    assert "the task goes on meanwhile" in line
    assert process.returncode == 0
    assert 'result: {"color": "red"}' in out
    assert out.count("has its answer") == 1
