"""The dashboard and the alert rules: every number and label in them is one that a running service exports."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from chargehand.app.service import open_app
from chargehand.domain.task import Reason, Status
from chargehand.serve.http import create_http
from chargehand.settings import Settings
from chargehand.telemetry.metrics import Metrics
from tests.api.service import with_database
from tests.operate.shipped import PACKAGING, ROOT

MONITORING = PACKAGING / "monitoring"
RULES = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
BOARD = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
OURS = re.compile(r"\b((?:chargehand|process)_\w+)(?:\{([^}]*)\})?")
FUNCTIONS = {
    "sum", "max", "min", "count", "rate", "increase", "deriv", "histogram_quantile", "by", "and", "label_values",
}  # fmt: skip
LABELS_OF_PROMETHEUS = {"instance", "job", "le"}


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    for panel in BOARD["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    yield BOARD["templating"]["list"][1]["query"]["query"]


@pytest.fixture
async def exported(tmp_path: Path) -> dict[str, set[str]]:
    """The names that a service exports, each with its labels."""
    settings = Settings(data_dir=tmp_path, metrics="open", sandbox="none", disk_reserve_bytes=0)
    with_database(settings.database_path)
    async with open_app(settings) as app:
        http = create_http(app.services, settings)
        transport = httpx2.ASGITransport(http)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.get("/health")
            text = (await client.get("/metrics")).text
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        for suffix in suffixes:
            labels[family.name + suffix] = {name for sample in family.samples for name in sample.labels}
    # A number that nothing was counted in yet has no lines, and so shows no labels.
    for counter in Metrics().counters:
        labels[f"{counter.name}_total"] |= set(counter.labels)
    for durations in Metrics().durations:
        labels[f"{durations.name}_bucket"] |= set(durations.labels)
    return labels


async def test_every_number_and_label_is_one_that_a_running_service_exports(
    exported: dict[str, set[str]],
) -> None:
    wrong: list[str] = []
    for expression in expressions():
        plain = re.sub(r'"[^"]*"', '""', expression)
        found = OURS.findall(plain)
        grouped = re.findall(r"\bby \(([^)]*)\)", plain)
        known = set[str]().union(*(exported.get(name, set()) for name, _ in found)) | LABELS_OF_PROMETHEUS
        used = {word.strip() for group in grouped for word in group.split(",")}
        used |= {one.strip() for _, inside in found for one in re.findall(r"(\w+)\s*[=!]", inside)}
        wrong += [f"{name} is not exported: {expression}" for name, _ in found if name not in exported]
        wrong += [f"no label {label}: {expression}" for label in used - known]

    assert len(list(expressions())) > 40
    assert wrong == []


async def test_every_number_that_a_service_exports_is_explained(exported: dict[str, set[str]]) -> None:
    page = (ROOT / "docs/guide/observability.md").read_text(encoding="utf-8")
    explained = {
        row.replace("_seconds_bucket", "_seconds") for row in re.findall(r"^\| `(\w+)` \|", page, re.M)
    }
    own = {name for name in exported if name.startswith("chargehand_")}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in own}

    assert shown == {name for name in explained if name.startswith("chargehand_")}


def test_every_expression_is_balanced_and_uses_only_functions_that_prometheus_has() -> None:
    for expression in expressions():
        plain = re.sub(r'"[^"]*"', "", expression)
        for opening, closing in ("()", "[]", "{}"):
            assert plain.count(opening) == plain.count(closing), expression
        called = set(re.findall(r"\b([a-z_]+)\s*\(", plain))
        assert called <= FUNCTIONS, expression
        for ranged in re.findall(r"\[([^\]]*)\]", plain):
            assert re.fullmatch(r"\d+[smhd](?::\d+[smhd])?", ranged), expression


def test_values_of_labels_are_ones_that_occur() -> None:
    known = {
        "status": {one.value for one in Status} | {"401", "429", "5.."},
        "outcome": {"failed", "unavailable"},
        "reason": {one.value for one in Reason},
        "route": {"/agents/{agent_id}/tasks"},
        "job": {"chargehand"},
        "instance": {"$instance"},
    }
    for expression in expressions():
        for label, value in re.findall(r'(\w+)=~?"([^"]*)"', expression):
            for one in value.split("|"):
                assert one in known[label], expression


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_leads_to_its_runbook(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)

    assert anchor == rule["alert"].lower()
    assert rule["alert"] in headings
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}


def test_no_runbook_is_left_of_an_alert_that_is_gone() -> None:
    headings = re.findall(
        r"^## (Chargehand\w+)$", (ROOT / "docs/operate/monitoring.md").read_text("utf-8"), re.M
    )

    assert headings == [rule["alert"] for rule in RULES]


def test_the_dashboards_panels_do_not_cover_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
