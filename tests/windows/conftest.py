"""A Windows to test against, in memory."""

import sys

import pytest

from chargehand.windows import win32
from tests.windows.pywin32 import Windows


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Windows:
    """pywin32 and the machine behind it."""
    machine = Windows()
    monkeypatch.setattr(win32, "PLATFORM", "win32")
    for name, module in machine.modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return machine
