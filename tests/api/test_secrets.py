"""Secrets over HTTP: values go in, and come out nowhere."""

import httpx2
import pytest

from chargehand.domain.access import Scope
from chargehand.domain.secret import LONGEST
from chargehand.errors import Conflict
from tests.api.service import OWNER, STRANGER, Service
from tests.databases import outside

VALUE = "canary-of-the-secrets-9c1e"
on_each_database = pytest.mark.usefixtures("database")
Client = httpx2.AsyncClient


@on_each_database
async def test_a_secret_is_stored_replaced_listed_and_deleted(service: Service, client: Client) -> None:
    made = await client.put("/secrets/model:anthropic", json={"value": VALUE})
    changed = await client.put("/secrets/model:anthropic", json={"value": VALUE + "2"})
    listed = await client.get("/secrets")
    value = await service.services.secrets.values("default", ["model:anthropic", "absent"])
    gone = await client.delete("/secrets/model:anthropic")
    again = await client.delete("/secrets/model:anthropic")

    assert (made.status_code, changed.status_code) == (201, 200)
    assert (made.json()["version"], changed.json()["version"]) == (1, 2)
    assert listed.json()["items"] == [changed.json()]
    assert value == {"model:anthropic": VALUE + "2"}
    assert (gone.status_code, again.status_code, again.json()["code"]) == (204, 404, "secret.not_found")
    assert (await client.get("/secrets")).json() == {"items": []}
    for answer in (made, changed, listed, gone, again):
        assert VALUE not in answer.text


@on_each_database
async def test_the_rows_do_not_hold_the_value(service: Service, client: Client) -> None:
    await client.put("/secrets/token", json={"value": VALUE})

    with outside(service.key_file.parent / "chargehand.db") as rows:
        [(name, sealed)] = rows.execute("SELECT name, sealed FROM secrets").fetchall()

    assert name == "token"
    assert VALUE.encode() not in bytes(sealed)


@on_each_database
async def test_secrets_of_a_tenant_are_its_own(service: Service, client: Client) -> None:
    await client.put("/secrets/token", json={"value": VALUE})
    key = await service.key_with(Scope.SECRETS_READ, Scope.SECRETS_WRITE, who=STRANGER)

    async with service.client(key) as other:
        seen = await other.get("/secrets")
        gone = await other.delete("/secrets/token")
        made = await other.put("/secrets/token", json={"value": "another-long-value"})

    assert (seen.json(), gone.status_code, made.json()["version"]) == ({"items": []}, 404, 1)
    assert await service.services.secrets.values("default", ["token"]) == {"token": VALUE}
    assert await service.services.secrets.values("another", ["token"]) == {"token": "another-long-value"}


@pytest.mark.parametrize("name", ["1st", "a b", "%00x", "x" * 129, "ä", "a%2Fb", "${secret:x}", "-"])
async def test_what_cannot_be_a_name_is_refused(client: Client, name: str) -> None:
    assert (await client.put(f"/secrets/{name}", json={"value": VALUE})).status_code in (404, 422)
    assert (await client.delete(f"/secrets/{name}")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"value": ""},
        {"value": "seven77"},
        {"value": 12345678},
        {"value": None},
        {"value": VALUE, "name": "x"},
        {"value": "x" * (LONGEST + 1)},
    ],
)
async def test_what_cannot_be_a_value_is_refused_and_not_shown(
    client: Client, body: dict[str, object]
) -> None:
    answer = await client.put("/secrets/token", json=body)

    assert answer.status_code == 422
    assert "seven77" not in answer.text
    assert (await client.get("/secrets")).json() == {"items": []}


async def test_a_value_with_nul_is_refused(client: Client) -> None:
    answer = await client.put("/secrets/token", json={"value": "\x00" + VALUE})

    assert answer.status_code == 422
    assert VALUE not in answer.text


async def test_there_are_as_many_as_there_may_be(
    service: Service, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargehand.service.secrets.MOST", 1)
    await client.put("/secrets/one", json={"value": VALUE})

    assert (await client.put("/secrets/two", json={"value": VALUE})).status_code == 409
    assert (await client.put("/secrets/one", json={"value": VALUE})).status_code == 200


async def test_only_the_operator_rewraps(service: Service, client: Client) -> None:
    await client.put("/secrets/token", json={"value": VALUE})

    done = await client.post("/admin/rewrap")
    async with service.client(await service.key_with(Scope.ADMIN, who=STRANGER)) as other:
        refused = await other.post("/admin/rewrap")

    assert done.json()["data_keys"] == 0
    assert refused.status_code == 403
    assert OWNER.tenant == "default"


async def test_how_many_there_may_be_is_each_tenants_own(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chargehand.service.secrets.MOST", 1)
    secrets = service.services.secrets

    for who in (STRANGER, OWNER):
        await secrets.put(who, "one", VALUE)
        with pytest.raises(Conflict, match="as many as there may be"):
            await secrets.put(who, "two", VALUE)
    await secrets.put(OWNER, "one", VALUE + "2")

    assert await secrets.values(STRANGER.tenant, ["one"]) == {"one": VALUE}
