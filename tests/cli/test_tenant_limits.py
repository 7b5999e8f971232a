"""`chargehand tenants limits`, against a running service."""

import json
from typing import Any

import pytest

from chargehand.cli.tenant_limits import with_changes
from chargehand.errors import InvalidInput
from chargehand.wire.limits import TenantLimitsBody
from tests.cli.service import Cli, Running
from tests.cli.test_usage import told


@pytest.fixture(autouse=True)
def acme(cli: Cli, service: Running) -> None:
    """The tenant is there; the service is shared, so it may be there already."""
    assert service.url
    made = cli.call("tenants", "create", "acme")
    assert made.returncode == 0 or "acme" in made.stderr


def test_limits_are_shown_changed_one_by_one_and_taken_back(cli: Cli, service: Running) -> None:
    assert service.url
    told(cli, "tenants", "limits", "acme", "--set", "concurrency=4", "--set", "usd_per_day=25.00")
    lines = told(cli, "tenants", "limits", "acme", "--set", "submits_per_second=0.5").splitlines()
    shown: dict[str, Any] = json.loads(
        told(cli, "tenants", "limits", "acme", "--set", "concurrency=default", "--json")
    )

    assert lines[0].split() == ["LIMIT", "HOLDS", "OWN"]
    assert ["concurrency", "4", "4"] in [line.split() for line in lines]
    assert ["backlog", "no", "limit"] in [line.split() for line in lines]
    own = {name: limit for name, limit in shown["own"].items() if limit is not None}
    assert own == {"submits_per_second": 0.5, "usd_per_day": "25.00"}


@pytest.mark.parametrize(
    ("change", "needed"),
    [
        ("requests_per_second=0", "above 0"),
        ("submits_per_second=1e9", "at most 100,000"),
        ("backlog=1.5", "a whole number"),
        ("tokens_per_day=-1", "at least 0"),
        ("usd_per_day=much", "an amount in USD, such as 25.00"),
    ],
)
def test_an_amount_that_cannot_be_is_told_in_words(change: str, needed: str) -> None:
    name, amount = change.split("=")

    with pytest.raises(InvalidInput) as refused:
        with_changes(TenantLimitsBody(), {name: amount})

    told = f"--set {change}: it must be {needed}; default leaves the tenant no limit of its own"
    assert refused.value.message == told


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("concurency=4", "write NAME=AMOUNT, with a name of: requests_per_second"),
        ("concurrency=many", "that is no number"),
        ("concurrency=0", "--set concurrency=0: it must be at least 1; default leaves"),
    ],
)
def test_what_is_no_limit_is_refused(cli: Cli, service: Running, change: str, said: str) -> None:
    assert service.url
    assert said in told(cli, "tenants", "limits", "acme", "--set", change, code=2)
