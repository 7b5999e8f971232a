"""The commands of docs/guide/access.md, in their order, against a service."""

import re
import shlex

import pytest

from chargehand.cli.main import app
from tests.cli.service import Cli, Running
from tests.house.tree import ROOT, text_of

GUIDE = ROOT / "docs" / "guide" / "access.md"


def commands() -> list[str]:
    return re.findall(r"^chargehand (.+)$", text_of(GUIDE), re.MULTILINE)


def test_every_command_of_the_guide_does_what_it_says(
    cli: Cli, service: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHARGEHAND_DATA_DIR", str(cli.data_dir))
    monkeypatch.setenv("CHARGEHAND_SERVER", service.url)

    # In this process: a new one for each would take most of the time.
    ended = {line: _exit_code(shlex.split(line)) for line in commands()}
    shown = capsys.readouterr()

    assert ended == dict.fromkeys(ended, 0), shown.err
    assert len(ended) >= 11
    assert "revoked nightly (" in shown.out
    assert "shop: suspended 20" in shown.out
    assert "the old one works until 20" in shown.err
    keys = re.findall(r"^chg_live_[0-9A-Za-z]{46}$", shown.out, re.MULTILINE)
    assert len(keys) == len(set(keys)) == 4


def _exit_code(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    return ended.value.code
