"""Webhooks over HTTP: made, read, changed, removed; what is refused, and to whom."""

from typing import Any

import httpx2
import pytest

from chargehand.domain.access import Scope
from tests.api.service import STRANGER, Service

URL = "https://example.com/hook"
ABSENT = "0190f7a2-91b4-7c3d-8a55-0242ac120002"


async def made(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/webhooks", json={"url": URL, **body})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_webhook_is_made_read_changed_and_removed(client: httpx2.AsyncClient) -> None:
    created = await client.post("/webhooks", json={"url": URL, "labels": {"team": "shop"}})
    webhook = created.json()
    address = created.headers["Location"]
    read = (await client.get(address)).json()
    changed = (await client.patch(address, json={"is_enabled": False, "kinds": ["task.failed"]})).json()
    listed = (await client.get("/webhooks")).json()
    rotated = (await client.post(f"{address}/rotate-secret", json={"overlap_seconds": 60})).json()
    removed = await client.delete(address)

    assert address == f"/webhooks/{webhook['id']}"
    assert webhook.pop("secret").startswith("whsec_")
    assert read == webhook
    assert read["kinds"] == [
        "task.completed", "task.failed", "task.canceled", "approval.requested", "question.asked", "webhook.disabled",
    ]  # fmt: skip
    assert (changed["is_enabled"], changed["disabled_reason"]) == (False, "by_hand")
    assert (changed["kinds"], changed["labels"]) == (["task.failed"], {"team": "shop"})
    assert listed == {"items": [changed], "next_cursor": None}
    assert rotated["secret"].startswith("whsec_")
    assert rotated["previous_secret_until"] is not None
    assert removed.status_code == 204
    assert (await client.get(address)).json()["code"] == "webhook.not_found"


async def test_the_list_comes_in_pages(client: httpx2.AsyncClient) -> None:
    ids = [(await made(client))["id"] for _ in range(3)]

    first = await client.get("/webhooks?limit=2")
    rest = await client.get(f"/webhooks?limit=2&cursor={first.json()['next_cursor']}")

    assert 'rel="next"' in first.headers["Link"]
    assert [one["id"] for one in (*first.json()["items"], *rest.json()["items"])] == ids[::-1]


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        ({"url": "http://example.com/"}, "webhook.url_refused", "only https"),
        ({"url": "https://10.0.0.1/"}, "webhook.url_refused", "is not a public address"),
        ({"url": "https://u:p@example.com/"}, "webhook.url_refused", "leave them out"),
        ({"url": "https://example.com:8443/"}, "webhook.url_refused", "not among the hosts"),
        ({"url": "https://example.com/" + "x" * 2_048}, "invalid_input", "url"),
        ({"url": 7}, "invalid_input", "url"),
        ({"kinds": []}, "invalid_input", "kinds"),
        ({"kinds": ["step.started"]}, "invalid_input", "cannot be sent"),
        ({"agents": ["No Agent"]}, "invalid_input", "agents"),
        ({"labels": {"a b": "c"}}, "invalid_input", "labels"),
        ({"description": "a\nb"}, "invalid_input", "description"),
        ({"secret": "mine"}, "invalid_input", "secret"),
    ],
)
async def test_what_cannot_be_is_refused_when_it_is_made_and_when_it_is_changed(
    client: httpx2.AsyncClient, body: dict[str, Any], code: str, told: str
) -> None:
    there = await made(client)

    refused = await client.post("/webhooks", json={"url": URL, **body})
    unchanged = await client.patch(f"/webhooks/{there['id']}", json=body)

    for answer in (refused, unchanged):
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
        assert told in answer.text
    there.pop("secret")
    assert (await client.get("/webhooks")).json()["items"] == [there]


async def test_other_requests_that_make_no_sense_are_refused(client: httpx2.AsyncClient) -> None:
    address = f"/webhooks/{(await made(client))['id']}"

    for path in ("?status=lost", "?limit=0", "?cursor=x", "?before=1"):
        assert (await client.get(f"{address}/deliveries{path}")).status_code == 422, path
    for overlap in (-1, 2_592_001, "1", 1.5):
        answer = await client.post(f"{address}/rotate-secret", json={"overlap_seconds": overlap})
        assert answer.status_code == 422, overlap
    assert (await client.get(f"{address}/deliveries/{ABSENT}")).json()["code"] == "webhook.delivery_not_found"
    assert (await client.post(f"{address}/deliveries/x/redeliver")).status_code == 404
    assert (await client.get("/webhooks/x")).status_code == 404


async def test_a_webhook_of_another_tenant_is_told_like_an_absent_one(service: Service) -> None:
    async with service.client(service.key) as owner:
        webhook = await made(owner)
    key = await service.key_with(Scope.ADMIN, who=STRANGER)

    async with service.client(key) as other:
        for method, path, body in (
            ("GET", "", None),
            ("PATCH", "", {"is_enabled": False}),
            ("DELETE", "", None),
            ("POST", "/test", None),
            ("POST", "/rotate-secret", {}),
            ("GET", "/deliveries", None),
            ("GET", f"/deliveries/{ABSENT}", None),
            ("POST", f"/deliveries/{ABSENT}/redeliver", None),
        ):
            foreign = await other.request(method, f"/webhooks/{webhook['id']}{path}", json=body)
            absent = await other.request(method, f"/webhooks/{ABSENT}{path}", json=body)
            assert (foreign.status_code, foreign.json()["code"]) == (404, "webhook.not_found"), path
            assert foreign.json()["detail"].replace(webhook["id"], ABSENT) == absent.json()["detail"]
        assert (await other.get("/webhooks")).json()["items"] == []


async def test_who_may_read_no_tasks_gets_none_sent(service: Service) -> None:
    async with service.client(await service.key_with(Scope.WEBHOOKS_WRITE)) as client:
        refused = await client.post("/webhooks", json={"url": URL})
    async with service.client(await service.key_with(Scope.WEBHOOKS_WRITE, Scope.TASKS_READ)) as client:
        await made(client)

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "tasks:read" in refused.json()["detail"]
