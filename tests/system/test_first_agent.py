"""docs/guide/first-agent.md: what the page tells a reader to type is typed here, against a scripted model."""

import asyncio
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from chargehand.testkit.server import scripted_models
from tests.cli.service import Cli, cli_in, running_service

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guide" / "first-agent.md"
MINUTES = {"name": "Write", "arguments": {"file_path": "minutes.md", "content": "We go on.\n"}}
COMMIT = "git init -q . && git add . && git -c user.name=s -c user.email=s@example.com commit -qm Minutes"
TURNS = [
    {"calls": [MINUTES], "usage": {"input": 900, "output": 40}},
    {"calls": [{"name": "Bash", "arguments": {"command": COMMIT}}], "usage": {"input": 1000, "output": 30}},
    {"text": "The minutes are filed.", "usage": {"input": 1100, "output": 10}},
]


def block(language: str) -> Iterator[str]:
    """The blocks of the page in this language, in order."""
    found = re.finditer(rf"^```{language}\n(.*?)^```$", GUIDE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    yield from (one[1] for one in found)


def typed(cli: Cli, line: str, **known: str) -> str:
    """What a command of the page prints, its capitals replaced by what stood there."""
    for word, value in known.items():
        line = line.replace(word, value)
    done = cli.run(*shlex.split(line)[1:])
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


async def test_the_page_leads_from_a_folder_of_agents_to_an_approved_call(tmp_path: Path) -> None:
    cli = cli_in(tmp_path)
    (cli.folder / "my-agents").mkdir()
    (cli.folder / "my-agents" / "scribe.md").write_text(next(block("markdown")), encoding="utf-8")
    (cli.folder / "policy.yaml").write_text(next(block("yaml")), encoding="utf-8")
    start, first, then = block("sh")
    exported = dict(line.removeprefix("export ").split("=", 1) for line in start.splitlines()[:-1])
    assert start.splitlines()[-1] == "chargehand serve"
    assert exported.pop("ANTHROPIC_API_KEY") == '"$YOUR_KEY"'

    async with scripted_models([{"turns": TURNS}]) as models:
        urls = json.dumps({"anthropic": models.url})
        cli = cli.with_environment(**exported, ANTHROPIC_API_KEY="a-key", CHARGEHAND_MODEL_URLS=urls)
        with running_service(cli):
            printed = [await asyncio.to_thread(typed, cli, line) for line in first.splitlines()]
            assert "0 refused" in printed[0]
            assert "1 imported" in printed[1]
            assert "mine.scribe" in printed[2]
            task_id = printed[3].strip()
            approval_id = await asyncio.to_thread(_waiting, cli, task_id)
            known = {"TASK_ID": task_id, "APPROVAL_ID": approval_id}
            answers = [await asyncio.to_thread(typed, cli, one, **known) for one in then.splitlines()]

    assert approval_id in answers[0]
    assert COMMIT in answers[1]
    assert "what is committed stays" in answers[1]
    assert "The minutes are filed." in answers[3]
    assert re.search(r"^total +0\.0\d+ +3 +3000 ", answers[4], re.MULTILINE), answers[4]
    folder = str(cli.data_dir / "workspaces" / task_id)
    log = await asyncio.to_thread(
        subprocess.run, ["git", "-C", folder, "log", "--format=%s"], capture_output=True, check=False
    )
    assert log.stdout == b"Minutes\n", log.stderr


REVIEWER = "---\nname: reviewer\ndescription: Reviews what lies there.\ntools: Read\n---\nYou review.\n"


async def test_the_readme_leads_there_too(tmp_path: Path) -> None:
    cli = cli_in(tmp_path)
    home = tmp_path / "home"
    (home / ".claude" / "agents").mkdir(parents=True)
    (home / ".claude" / "agents" / "reviewer.md").write_text(REVIEWER, encoding="utf-8")
    (cli.folder / "policy.yaml").write_text(next(block("yaml")), encoding="utf-8")
    shown = (ROOT / "README.md").read_text("utf-8").split("your own agents and a say in what they do")[1]
    exports, *lines = shown.split("```sh\n")[1].split("```")[0].splitlines()
    exported = dict(word.split("=", 1) for word in exports.split()[1:])
    commands = [line.partition(" #")[0].replace("python3 dev.py run", "chargehand", 1) for line in lines]
    assert commands.pop(0).split() == ["chargehand", "serve"]

    async with scripted_models([{"turns": [{"text": "All is well."}]}]) as models:
        urls = json.dumps({"anthropic": models.url})
        cli = cli.with_environment(**exported, CHARGEHAND_MODEL_URLS=urls)
        with running_service(cli):
            expanded = [command.replace("~", str(home)) for command in commands]
            printed = [await asyncio.to_thread(typed, cli, command) for command in expanded]

    assert "1 imported" in printed[0]
    assert "All is well." in printed[1]
    assert len(printed) == 3


def _waiting(cli: Cli, task_id: str) -> str:
    """The approval that the task comes to wait for, as whoever watches is told."""
    with cli.start("tasks", "watch", task_id, "--json") as watching:
        try:
            for line in watching.stdout or ():
                event = json.loads(line)
                if event.get("kind") == "approval.requested":
                    return event["data"]["approval_id"]
        finally:
            watching.terminate()
    raise AssertionError("the task never asked")
