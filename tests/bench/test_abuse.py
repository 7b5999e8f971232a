"""The load of an abusive tenant: that it runs and meets the limits. Its figures are not judged."""

import argparse
import asyncio
from pathlib import Path

import pytest

from bench import abuse


def test_a_tenth_of_the_load_is_refused_by_the_limits_and_leaves_the_other_tenant_working(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(abuse, "LEAD_SECONDS", 0.0)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    limits = {"CHARGEHAND_TENANT_STREAMS": "5", "CHARGEHAND_TENANT_SUBMITS_PER_SECOND": "12"}
    monkeypatch.setattr(abuse, "LIMITS", {**abuse.LIMITS, **limits})
    asked = argparse.Namespace(rounds=1, seconds=0.6, load=200.0, unlimited=False)

    found = asyncio.run(abuse.run(asked))
    told = abuse.page(found)

    [attack] = found.told
    assert found.failed == 0
    assert all(found.times.values())
    assert "goal: p99 of the tenant that works as usual" in told
    assert all(
        '"429"' in str(attack[name]).replace("'", '"') for name in ("submits", "wrong_keys", "streams")
    )
