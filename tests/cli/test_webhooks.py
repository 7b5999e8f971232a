"""`chargehand webhooks`, and docs/guide/webhooks.md: what the page tells a reader to type is typed here."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.service import LIMIT_SECONDS, Cli, cli_in, running_service

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "webhooks.md"
ABSENT = "0190f7a2-91b4-7c3d-8a55-0242ac120002"


def blocks(language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def typed(block: str) -> list[list[str]]:
    """The commands of a block, without the program's name."""
    lines = [line for line in block.splitlines() if line.startswith("chargehand ")]
    return [shlex.split(line)[1:] for line in lines]


@contextmanager
def the_guides_receiver(port: int, secret: str) -> Generator[subprocess.Popen[str]]:
    [program] = blocks("python")
    process = subprocess.Popen(
        [sys.executable, "-c", program.replace("8790", str(port))],
        env={"WEBHOOK_SECRET": secret, "PATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=LIMIT_SECONDS)


def test_what_the_guide_says_works(tmp_path: Path, unused_tcp_port: int) -> None:
    host = f"127.0.0.1:{unused_tcp_port}"
    cli = cli_in(tmp_path).with_environment(CHARGEHAND_WEBHOOK_PRIVATE_HOSTS=json.dumps([host]))
    first, _, private = blocks("sh")
    with running_service(cli):
        [local] = typed(private.replace("127.0.0.1:8790", host))
        added = cli.call(*local)
        secret = re.findall(r"whsec_\S+", added.stdout)[0]
        webhook = json.loads(cli.call("webhooks", "list", "--json").stdout)[0]["id"]
        add, *others = typed(first.replace(ABSENT, webhook))
        public = cli.call(*add)
        with the_guides_receiver(unused_tcp_port, secret) as receiver:
            until_it_answers(cli, webhook)
            answered = [cli.call(*one) for one in others]
            task = cli.call("run", "greeter", "--data", '{"name": "Ada"}')
            assert receiver.stdout is not None
            heard = next(line for line in receiver.stdout if line.startswith("task."))
        rotated = cli.call("webhooks", "rotate-secret", webhook, "--overlap", "0")
        disabled = cli.call("webhooks", "disable", webhook)
        shown = cli.call("webhooks", "show", webhook)
        enabled = cli.call("webhooks", "enable", webhook)
        changed = cli.call("webhooks", "change", webhook, "--event", "task.failed", "--description", "d")
        deliveries = json.loads(cli.call("webhooks", "deliveries", webhook, "--json").stdout)
        tried = cli.call("webhooks", "delivery", webhook, deliveries[0]["id"])
        again = cli.call("webhooks", "redeliver", webhook, deliveries[0]["id"])
        unheard = cli.call("webhooks", "test", webhook)
        removed = cli.call("webhooks", "remove", webhook)

    assert added.returncode == public.returncode == task.returncode == 0, added.stderr + public.stderr
    assert "it is not shown again" in added.stderr
    assert [one.returncode for one in answered] == [0] * len(others), answered
    assert heard.startswith("task.completed ")
    assert secret not in rotated.stdout
    assert "whsec_" in rotated.stdout
    assert disabled.stdout == f"{webhook}: disabled (by_hand)\n"
    assert "disabled (by_hand)" in shown.stdout
    assert "whsec_" not in shown.stdout
    assert enabled.stdout == f"{webhook}: enabled\n"
    assert changed.returncode == 0
    assert "delivered" in tried.stdout
    assert again.stdout.endswith("to be sent again\n")
    assert unheard.returncode == 1
    assert unheard.stdout.startswith("failed: ")
    assert removed.stdout == f"removed {webhook}\n"


def until_it_answers(cli: Cli, webhook: str) -> None:
    """The receiver has just been started."""
    for _ in range(50):
        if cli.call("webhooks", "test", webhook).returncode == 0:
            return
    pytest.fail("the guide's receiver takes nothing")


def test_what_is_wrong_is_told_in_a_line_and_with_a_code(cli: Cli) -> None:
    inside = cli.call("webhooks", "add", "https://127.0.0.1/")
    plain = cli.call("webhooks", "add", "http://example.com/")
    unknown = cli.call("webhooks", "add", "https://example.com/", "--event", "task.done")
    absent = cli.call("webhooks", "show", ABSENT)

    assert (inside.returncode, plain.returncode, unknown.returncode, absent.returncode) == (2, 2, 2, 4)
    assert inside.stderr.count("127.0.0.1 is not a public address") == 1
    assert """CHARGEHAND_WEBHOOK_PRIVATE_HOSTS='["127.0.0.1:443"]' and starts the service""" in inside.stderr
    assert "only https is sent to" in plain.stderr
    assert "'task.done' cannot be sent; known: task.submitted" in unknown.stderr
