"""The event writer takes out what the process knows as a secret, and what looks like one."""

from datetime import UTC, datetime

from chargehand.domain.known_secrets import KNOWN, know
from chargehand.domain.values import JsonObject
from chargehand.store import history

NOW = datetime(2030, 1, 31, tzinfo=UTC)


def test_an_event_is_written_without_the_secrets_in_it() -> None:
    KNOWN.add(["canary-of-the-event-3311"])
    data: JsonObject = {
        "message": "said canary-of-the-event-3311",
        "more": ["chg_live_0123456789abcdef"],
        "number": 1,
    }

    row = history.row("t", 1, "progress", NOW, data, tenant="t")

    assert row["data"] == {"message": "said [redacted]", "more": ["chg_live_[redacted]"], "number": 1}
    assert data["message"] == "said canary-of-the-event-3311"


def test_an_event_without_any_is_written_as_it_is() -> None:
    data: JsonObject = {"message": "nothing in it"}

    assert history.row("t", 1, "progress", NOW, data, tenant="t")["data"] is data


def test_an_event_is_cleared_for_its_tasks_tenant_whoever_writes_it() -> None:
    know(["canary-of-one-team-4711"], "one-team")
    data: JsonObject = {"summary": "curl -H canary-of-one-team-4711"}

    own, others = (
        history.row("t", 1, "step.started", NOW, data, tenant=one)["data"] for one in ("one-team", "other")
    )

    assert (own["summary"], others) == ("curl -H [redacted]", data)
