"""The sandbox that tests of real commands run in: the strongest that this machine has."""

import asyncio
from functools import cache

import pytest

from chargehand.tools.sandbox import Sandbox, open_sandbox


@cache
def _opened() -> Sandbox:
    return asyncio.run(open_sandbox())


@pytest.fixture
def sandbox() -> Sandbox:
    return _opened()
