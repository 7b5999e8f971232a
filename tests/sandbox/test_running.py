"""What every level does alike: run a command, feed it, read it, and say how it ended."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chargehand.errors import InvalidInput, SandboxUnavailable
from chargehand.tools.sandbox import EndedBy, Sandbox, SandboxCommand, SandboxLevel, SandboxLimits
from tests.sandbox.conftest import output_of, run_bash, run_in, run_python


async def test_a_command_gives_its_output_its_errors_and_its_exit_code(
    sandbox: Sandbox, workspace: Path
) -> None:
    ended = await run_bash(sandbox, workspace, "echo out; echo err >&2; exit 3")

    assert (ended.stdout, ended.stderr) == (b"out\n", b"err\n")
    assert (ended.ended_by, ended.exit_code, ended.signal) == (EndedBy.EXIT, 3, None)


async def test_a_command_that_dies_of_a_signal_says_so(sandbox: Sandbox, workspace: Path) -> None:
    ended = await run_bash(sandbox, workspace, "kill -SEGV $$")

    assert (ended.ended_by, ended.signal, ended.exit_code) == (EndedBy.SIGNAL, 11, 139)


async def test_a_program_that_is_not_there_ends_like_in_a_shell(sandbox: Sandbox, workspace: Path) -> None:
    ended = await run_in(sandbox, workspace, "no-such-program")

    assert (ended.ended_by, ended.exit_code) == (EndedBy.EXIT, 127)
    assert b"no-such-program" in ended.stderr


async def test_a_file_that_is_no_program_ends_like_in_a_shell(sandbox: Sandbox, workspace: Path) -> None:
    (workspace / "notes.txt").write_text("no program")

    ended = await run_in(sandbox, workspace, "./notes.txt")

    assert (ended.ended_by, ended.exit_code) == (EndedBy.EXIT, 126)
    assert b"notes.txt" in ended.stderr


async def test_standard_input_arrives_whole_and_ends(sandbox: Sandbox, workspace: Path) -> None:
    content = b"0123456789abcdef" * 65536

    ended = await sandbox.run(SandboxCommand(argv=("/usr/bin/wc", "-c"), workspace=workspace, stdin=content))

    assert output_of(ended).strip() == str(len(content))


async def test_a_conversation_is_input_that_depends_on_what_was_said(
    sandbox: Sandbox, workspace: Path
) -> None:
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def asked() -> AsyncIterator[bytes]:
        yield b"1\n"
        for _ in range(3):
            yield (await heard.get())

    script = "while read number; do echo $((number * 7)); done; echo bye"
    command = SandboxCommand(argv=("/bin/bash", "-c", script), workspace=workspace, stdin=asked())
    ended = await sandbox.run(command, on_stdout_line=heard.put)

    assert (ended.stdout, ended.exit_code) == (b"7\n49\n343\n2401\nbye\n", 0)


async def test_what_the_source_of_the_input_raises_ends_the_command_and_is_the_callers(
    sandbox: Sandbox, workspace: Path
) -> None:
    async def asked() -> AsyncIterator[bytes]:
        yield b"1\n"
        raise LookupError("nothing more to say")

    command = SandboxCommand(argv=("/bin/sleep", "60"), workspace=workspace, stdin=asked())
    with pytest.raises(LookupError, match="nothing more"):
        await asyncio.wait_for(sandbox.run(command), 10)


async def test_input_that_nobody_reads_does_not_hold_the_command_up(
    sandbox: Sandbox, workspace: Path
) -> None:
    command = SandboxCommand(argv=("/bin/true",), workspace=workspace, stdin=bytes(1 << 20))

    ended = await asyncio.wait_for(sandbox.run(command), 10)

    assert ended.succeeded


async def test_what_a_command_writes_stays_in_the_workspace(sandbox: Sandbox, workspace: Path) -> None:
    (workspace / "inside").mkdir()

    ended = await sandbox.run(
        SandboxCommand(
            argv=("/bin/sh", "-c", "echo kept > file.txt; mkdir made"), workspace=workspace, cwd="inside"
        )
    )

    assert ended.succeeded
    assert (workspace / "inside" / "file.txt").read_text() == "kept\n"
    assert (workspace / "inside" / "made").is_dir()


async def test_home_and_temporary_folder_are_private_and_gone_afterwards(
    sandbox: Sandbox, workspace: Path
) -> None:
    script = 'ls -A "$HOME" "$TMPDIR"; touch "$HOME/a" "$TMPDIR/b" && chmod 0 "$HOME" && echo "$HOME"'

    first = output_of(await run_bash(sandbox, workspace, script)).split()
    second = output_of(await run_bash(sandbox, workspace, script)).split()

    for words in (first, second):
        *listing, home = words
        assert not {"a", "b"} & set(listing)
        assert sandbox.level is SandboxLevel.STRICT or not stands(home)


def stands(path: str) -> bool:
    return Path(path).exists()


async def test_the_interpreter_and_the_tests_of_our_environment_run_inside(
    sandbox: Sandbox, workspace: Path
) -> None:
    (workspace / "test_it.py").write_text("def test_it(tmp_path):\n    assert tmp_path.is_dir()\n")

    command = SandboxCommand(
        argv=("pytest", "-q", "-p", "no:cacheprovider", "test_it.py"),
        workspace=workspace,
        environment={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )

    ended = await sandbox.run(command)

    assert "1 passed" in output_of(ended)
    assert not (workspace / "__pycache__").exists()


async def test_our_environment_cannot_be_written(confining: Sandbox, workspace: Path) -> None:
    script = (
        "import os, sys\n"
        "for folder in {sys.prefix, sys.base_prefix}:\n"
        "    try:\n"
        "        open(os.path.join(folder, 'planted'), 'w')\n"
        "    except OSError as error:\n"
        "        print('refused')\n"
        "    else:\n"
        "        print('written to', folder)\n"
    )

    output = output_of(await run_python(confining, workspace, script))

    assert set(output.split("\n")) == {"refused", ""}


async def test_nothing_of_the_services_environment_is_passed_on(
    sandbox: Sandbox, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHARGEHAND_TEST_SECRET", "canary-4711")

    ended = await sandbox.run(
        SandboxCommand(argv=("/usr/bin/env",), workspace=workspace, environment={"GIVEN": "yes"})
    )

    names = {line.split("=")[0] for line in output_of(ended).splitlines()}
    allowed = {
        "PATH",
        "HOME",
        "TMPDIR",
        "LANG",
        "TERM",
        "USER",
        "LOGNAME",
        "PYTHONDONTWRITEBYTECODE",
        "PWD",
        "GIVEN",
        "CHARGEHAND_COMMAND",
    }
    assert names <= allowed
    assert {"PATH", "HOME", "TMPDIR", "GIVEN"} <= names


async def test_lines_are_handed_on_as_they_come(sandbox: Sandbox, workspace: Path) -> None:
    heard: list[bytes] = []
    first = asyncio.Event()

    async def listen(line: bytes) -> None:
        heard.append(line)
        first.set()

    script = """
import os, time
print("one", flush=True)
while not os.path.exists("go"):
    time.sleep(0.01)
print("two", end="")
"""
    running = asyncio.create_task(
        sandbox.run(SandboxCommand(argv=("python", "-c", script), workspace=workspace), on_stdout_line=listen)
    )
    await asyncio.wait_for(first.wait(), 10)
    assert heard == [b"one\n"]
    (workspace / "go").touch()
    ended = await running

    assert heard == [b"one\n", b"two"]
    assert ended.stdout == b"one\ntwo"


async def test_a_listener_that_fails_ends_the_command(sandbox: Sandbox, workspace: Path) -> None:
    async def listen(line: bytes) -> None:
        raise LookupError("unexpected line")

    with pytest.raises(LookupError, match="unexpected line"):
        await asyncio.wait_for(
            sandbox.run(
                SandboxCommand(argv=("/bin/sh", "-c", "echo x; sleep 60"), workspace=workspace),
                on_stdout_line=listen,
            ),
            10,
        )


async def test_thirty_megabytes_of_output_are_read_and_counted_but_not_kept(
    sandbox: Sandbox, workspace: Path
) -> None:
    ended = await run_bash(sandbox, workspace, "head -c 30000000 /dev/zero; echo done >&2", output_bytes=1000)

    assert ended.stdout == bytes(1000)
    assert ended.stderr == b"done\n"
    assert ended.dropped_bytes == 30_000_000 - 1000
    assert ended.succeeded


async def test_two_commands_run_at_the_same_time_in_one_workspace(sandbox: Sandbox, workspace: Path) -> None:
    # Each waits for the other's file: run one after the other, both would time out.
    script = "touch {me}; until [ -e {other} ]; do sleep 0.01; done; cat {other}"

    both = await asyncio.gather(
        run_bash(sandbox, workspace, script.format(me="a", other="b")),
        run_bash(sandbox, workspace, script.format(me="b", other="a")),
    )

    assert [ended.succeeded for ended in both] == [True, True]


async def test_a_server_and_a_client_in_one_command_meet_on_loopback(
    sandbox: Sandbox, workspace: Path
) -> None:
    (workspace / "page.txt").write_text("hello over loopback")
    script = """
import http.client, http.server, threading
class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
threading.Thread(target=server.serve_forever, daemon=True).start()
for host in ("127.0.0.1", "localhost"):
    connection = http.client.HTTPConnection(host, server.server_port, timeout=5)
    connection.request("GET", "/page.txt")
    print(connection.getresponse().read().decode())
"""

    ended = await run_python(sandbox, workspace, script)

    assert output_of(ended).split("\n")[:2] == ["hello over loopback"] * 2


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"argv": ()}, "empty"),
        ({"argv": ("a\0b",)}, "NUL"),
        ({"cwd": "../elsewhere"}, "elsewhere"),
        ({"cwd": "/etc"}, "/etc"),
        ({"cwd": "missing"}, "missing"),
        ({"environment": {"A=B": "c"}}, "A=B"),
        ({"environment": {"A": "b\0c"}}, "A"),
    ],
)
async def test_a_command_that_cannot_be_meant_is_refused_by_name(
    sandbox: Sandbox, workspace: Path, changes: dict[str, object], named: str
) -> None:
    fields: dict[str, object] = {"argv": ("/bin/true",), "workspace": workspace, **changes}

    with pytest.raises(InvalidInput, match=named):
        await sandbox.run(SandboxCommand(**fields))  # pyright: ignore[reportArgumentType] - wrong on purpose


async def test_a_workspace_that_is_a_link_is_refused(sandbox: Sandbox, workspace: Path) -> None:
    link = workspace.with_name("link")
    link.symlink_to(workspace)

    with pytest.raises(InvalidInput, match="link"):
        await sandbox.run(SandboxCommand(argv=("/bin/true",), workspace=link, limits=SandboxLimits()))


async def test_a_limit_that_no_kernel_takes_is_an_error_and_nothing_is_run(
    sandbox: Sandbox, workspace: Path
) -> None:
    with pytest.raises(SandboxUnavailable, match="nothing was run"):
        await run_bash(sandbox, workspace, "touch ran", cpu_seconds=1 << 70)

    assert not (workspace / "ran").exists()
