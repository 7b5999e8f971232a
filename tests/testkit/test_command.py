"""`chargehand dev model-server` as a process: it says where it answers, logs, and stops when told to."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.testkit.models import request_in

COMMAND = [sys.executable, "-m", "chargehand", "dev", "model-server"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM ends a Windows process at once")
def test_it_answers_logs_and_stops(tmp_path: Path) -> None:
    script, log = tmp_path / "script.yaml", tmp_path / "requests.jsonl"
    script.write_text("- turns: [{text: Hello.}, {text: x, fault: {cut_midstream: true}}]", encoding="utf-8")
    path, body = request_in("openai-chat", "go", is_streamed=False)
    with subprocess.Popen(
        [*COMMAND, str(script), "--log", str(log)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        url = greeting.split()[0]
        answer = httpx2.post(url + path, json=body)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)

    assert f"ANTHROPIC_BASE_URL={url} OPENAI_BASE_URL={url}/v1 GOOGLE_GEMINI_BASE_URL={url}" in greeting
    assert answer.json()["choices"][0]["message"]["content"] == "Hello."
    assert (process.returncode, said) == (0, "")
    (line,) = log.read_text(encoding="utf-8").splitlines()
    entry = json.loads(line)
    assert (entry["protocol"], entry["model"], entry["turn"]) == ("openai-chat", "scripted", 0)
    assert entry["ended"] == "answered"
    assert entry["time"]
    assert entry["messages_hash"]


def test_a_wrong_script_is_told_with_file_and_line(tmp_path: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text("- turns:\n    - txt: Hello.\n", encoding="utf-8")

    done = subprocess.run([*COMMAND, str(script)], capture_output=True, encoding="utf-8", check=False)

    assert done.returncode == 2
    assert f"{script}:2: [0].turns[0].txt: no such field" in done.stderr
