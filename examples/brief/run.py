"""The backend developer builds a service from a brief in plain words, with a scripted model in place of a real one.

    python3 dev.py example                   builds into ./delivered/links and approves what it is asked for
    python3 dev.py example --ask             asks you instead
    python3 dev.py example --out FOLDER

Everything but the model is real: the service, the sandbox, the tools, the tests and their coverage, the figures. Only
commands are used that you could type yourself; each is printed. With a model of your own, set CHARGEHAND_MODEL and its
key instead of the lines that start the model server.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).parent
CHARGEHAND = [sys.executable, "-m", "chargehand"]


def main() -> int:
    """Start a model and a service, hand over the brief, answer what is asked, say what came of it."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="chargehand-example-") as folder, scripted_model() as url:
        os.environ |= {
            "CHARGEHAND_DATA_DIR": str(Path(folder) / "data"),
            "CHARGEHAND_MODEL": "anthropic:claude-scripted",
            "CHARGEHAND_MODEL_URLS": json.dumps({"anthropic": url}),
            "CHARGEHAND_POLICY_FILE": str(HERE / "policy.yaml"),
            "CHARGEHAND_LOG_LEVEL": "warning",
        }
        with a_service():
            brief = (HERE / "brief.md").read_text("utf-8")
            task_id = output_of("run", "backend-developer", "--prompt", brief, "--no-wait").strip()
            code = watch(task_id, out=options.out, is_asked=options.ask)
    if code == 0:
        say(f"\nDelivered into {options.out}; its README says how to start it.")
    return code


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("delivered/links"), metavar="FOLDER")
    parser.add_argument("--ask", action="store_true", help="ask you for the approval, instead of giving it")
    return parser.parse_args()


@contextmanager
def scripted_model() -> Generator[str]:
    """A model server on a free port of this machine; its address."""
    with running("dev", "model-server", str(HERE / "conversation.yaml")) as server:
        yield next(lines_of(server.stdout)).split()[0]


@contextmanager
def a_service() -> Generator[None]:
    """A service on a free port; the commands that follow find it by its data folder."""
    with running("serve", "--port", "0") as service:
        for line in lines_of(service.stderr):
            if " answers at " in line:
                break
            say(line.rstrip())
        else:
            raise SystemExit("the service did not start")
        yield


@contextmanager
def running(*command: str) -> Generator[subprocess.Popen[str]]:
    """A command that goes on until it is told to stop."""
    show(command)
    process = subprocess.Popen(
        [*CHARGEHAND, *command], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def watch(task_id: str, *, out: Path, is_asked: bool) -> int:
    """Tell what happens, answer approvals, fetch what is delivered; the command's exit code."""
    command = ("tasks", "watch", task_id, "--out", str(out), "--json")
    show(command)
    with subprocess.Popen([*CHARGEHAND, *command], text=True, stdout=subprocess.PIPE) as process:
        for line in lines_of(process.stdout):
            event = json.loads(line)
            tell(event)
            if event.get("kind") == "approval.requested":
                decide(event["data"]["approval_id"], is_asked=is_asked)
        return process.wait()


def tell(event: dict[str, Any]) -> None:
    """What happened, in a line."""
    data = event.get("data", {})
    match event.get("kind"):
        case "step.finished" if data["kind"] == "tool":
            say(f"  {data['name']:<12} {data['summary'][:90]}{'  (failed)' if data['is_error'] else ''}")
        case "task.delegated":
            say("  handed to", ", ".join(child["agent_id"] for child in data["children"]))
        case "deliverable.checked":
            say(f"  {'passed' if data['passed'] else 'FAILED'}: {data['deliverable']}, {data['check']}")
        case "task.failed":
            say("  failed:", data["error"]["message"])
        case _:
            pass


def lines_of(stream: IO[str] | None) -> Iterator[str]:
    """The lines of a process that was started with pipes."""
    yield from stream or ()


def decide(approval_id: str, *, is_asked: bool) -> None:
    """Look at what an agent wants to do, and say yes or no."""
    say(output_of("approvals", "show", approval_id))
    if is_asked and input("Approve? [y/N] ").strip().lower() != "y":
        output_of("approvals", "deny", approval_id, "--reason", "not like this")
    else:
        output_of("approvals", "approve", approval_id)


def output_of(*command: str) -> str:
    """What a command prints; the run ends with its exit code when it fails."""
    show(command)
    done = subprocess.run([*CHARGEHAND, *command], text=True, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout


def say(*words: object) -> None:
    """A line that is seen when it is told, through a pipe too."""
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def show(command: tuple[str, ...]) -> None:
    """The command as one would type it, long arguments cut."""
    words = (word if len(word) < 60 else f"{word[:40]}…" for word in command)
    say("$ chargehand", *(json.dumps(word) if " " in word else word for word in words))


if __name__ == "__main__":
    sys.exit(main())
