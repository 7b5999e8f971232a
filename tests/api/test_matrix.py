"""Who may do what: every route of matrix.py with every kind of key, and with every id that is not the caller's."""

import re
from collections.abc import Sequence
from datetime import timedelta

import httpx2
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import OF_AGENTS, Principal, Scope
from chargehand.serve.routes import Answer, Route, add_routes
from chargehand.service.key_format import with_checksum
from tests.api.matrix import ABSENT, ENTRIES, Entry, differences
from tests.api.service import OWNER, STRANGER, Service
from tests.api.world import Ids, World, a_world
from tests.conftest import placed_on

ECHOED = frozenset(
    {"agent", "version", "tenant", "context", "cursor", "file", "mcp_server", "mcp_tool", "name"}
)
"""Kinds whose ids say nothing of whose they are, or that come back as what was sent."""


@pytest.fixture(params=("sqlite", "postgresql"))
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Without and with walls between tenants; MySQL's statements are SQLite's, and this is long."""
    return placed_on(request.param, monkeypatch)


@pytest.fixture
async def world(database: str, service: Service) -> World:
    """On each kind of database, for what is tried here is in their statements."""
    del database
    return await a_world(service)


async def extra(request: Request) -> Response:
    """A route that somebody has added."""
    del request
    return Response()


def test_a_route_without_an_entry_fails_the_build() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    answers = {200: Answer(description="x", media_types=("text/plain",))}
    route = Route(
        method="GET", path="/extra", endpoint=extra, needs=Scope.TASKS_READ, tag="tasks", answers=answers
    )

    add_routes(app, [route])

    assert "GET /extra has no entry in tests/api/matrix.py" in differences(app)


async def test_every_route_has_an_entry_and_every_entry_its_ids(service: Service) -> None:
    assert differences(service.http) == []


async def bad_keys(service: Service) -> dict[str, str | None]:
    keys = service.services.keys
    everything = OWNER.scopes
    soon = service.services.access.clock.now() + timedelta(seconds=0.001)
    expired, _ = await keys.issue(OWNER, "expired", everything, soon)
    revoked, record = await keys.issue(OWNER, "revoked", everything)
    await keys.revoke(OWNER, record.id)
    good, _ = await keys.issue(OWNER, "good", everything)
    last = "x" if good[-1] != "x" else "y"
    return {
        "none": None,
        "nonsense": "nonsense",
        "mistyped": good[:-1] + last,
        "of another service": with_checksum("chg_live_" + "0" * 40),
        "another secret": with_checksum(good[:17] + "0" * 32),
        "expired": expired,
        "revoked": revoked,
    }


async def test_without_a_good_key_every_route_is_closed_and_says_so_alike(world: World) -> None:
    for kind, key in (await bad_keys(world.service)).items():
        async with world.service.client(key) as client:
            for name in ENTRIES:
                answer = await world.send(client, name, path=world.mine)

                assert (kind, name, answer.status_code) == (kind, name, 401)
                told = 'Bearer realm="chargehand"' + ("" if key is None else ', error="invalid_token"')
                assert answer.headers["www-authenticate"] == told


async def test_a_key_of_a_suspended_tenant_opens_nothing(world: World) -> None:
    who = Principal(id="them", tenant="sleepy", scopes=OWNER.scopes)
    key, _ = await world.service.services.keys.issue(who, "admin", who.scopes)
    await world.service.services.tenants.change(OWNER, "sleepy", is_suspended=True)

    async with world.service.client(key) as client:
        for name in ENTRIES:
            answer = await world.send(client, name, path=world.mine)

            assert (name, answer.status_code, answer.json()["code"]) == (name, 403, "tenant.suspended")
        assert (await client.get("/health")).status_code == 200


async def test_a_key_with_all_scopes_but_the_one_that_is_needed_is_forbidden(world: World) -> None:
    for scope in {entry.needs for entry in ENTRIES.values() if entry.needs is not None}:
        rest = frozenset(Scope) - {scope, Scope.ADMIN}
        key, _ = await world.service.services.keys.issue(OWNER, f"all but {scope}", rest)
        async with world.service.client(key) as client:
            for name, entry in ENTRIES.items():
                if entry.needs is scope:
                    answer = await world.send(client, name, path=world.mine)
                    assert (name, answer.status_code, answer.json()["code"]) == (name, 403, "forbidden")
                    assert repr(scope.value) in answer.json()["detail"]


async def test_the_one_scope_that_is_needed_is_enough_and_opens_nothing_else(world: World) -> None:
    for scope in Scope:
        async with world.service.client(await world.service.key_with(scope)) as client:
            for name, entry in ENTRIES.items():
                answer = await world.send(client, name, path=ABSENT)

                is_open = (entry.needs in (None, scope) and entry.also <= {scope}) or (
                    scope is Scope.ADMIN and entry.needs is not Scope.ADMIN_SERVICE
                )
                assert (scope, name, answer.status_code != 403) == (scope, name, is_open)


async def test_the_owner_reaches_each_thing_by_the_same_requests(world: World) -> None:
    """Else a 404 in the other tests would say nothing."""
    async with world.service.client(world.service.key) as client:
        for name, entry in sorted(ENTRIES.items(), key=lambda one: _order(one[0])):
            answer = await world.send(client, name, path=world.mine)
            if entry.has_target:
                assert (name, answer.status_code not in (401, 403, 404, 422)) == (name, True), answer.text


def _order(name: str) -> tuple[bool, bool, bool]:
    """What ends things last."""
    return name.startswith("DELETE"), name.endswith(("/cancel", "/retry", "/rotate")), name[:3] != "GET"


async def test_another_tenants_administrator_finds_nothing_and_changes_nothing(world: World) -> None:
    before = await readings(world, world.service.key, world.mine)
    key = await world.service.key_with(Scope.ADMIN, who=STRANGER)

    async with world.service.client(key) as client:
        for name, entry in sorted(ENTRIES.items(), key=lambda one: one[1].makes_its_own):
            answer = await world.send(client, name, path=world.mine)

            check_closed(name, entry, answer, world.mine)
            for query, kind in entry.query.items():
                asked = {query: world.mine[kind]}
                check_untold(
                    name, await world.send(client, name, path=world.foreign, query=asked), world.mine
                )

    assert await readings(world, world.service.key, world.mine) == before


async def test_a_key_that_is_narrowed_finds_nothing_outside_and_changes_nothing(world: World) -> None:
    before = await readings(world, world.service.key, world.outside)
    key, _ = await world.service.services.keys.issue(OWNER, "narrowed", OF_AGENTS, agents=["ours"])

    async with world.service.client(key) as client:
        for name, entry in ENTRIES.items():
            answer = await world.send(client, name, path=world.outside)

            if entry.needs not in (None, *OF_AGENTS) or entry.makes_its_own:
                assert (name, answer.status_code) == (name, 403)
                continue
            check_closed(name, entry, answer, world.outside)
            for query, kind in entry.query.items():
                asked = {query: world.outside[kind]}
                check_untold(
                    name, await world.send(client, name, path=world.mine, query=asked), world.outside
                )

    assert await readings(world, world.service.key, world.outside) == before


@pytest.mark.parametrize("whose", ["foreign", "outside"])
async def test_an_id_that_is_not_the_callers_is_told_as_one_that_nothing_has(
    world: World, whose: str
) -> None:
    theirs: Ids = world.foreign if whose == "foreign" else world.outside
    narrowed, _ = await world.service.services.keys.issue(OWNER, "narrowed", OF_AGENTS, agents=["ours"])
    key = world.service.key if whose == "foreign" else narrowed

    async with world.service.client(key) as client:
        for name, entry in ENTRIES.items():
            if whose == "outside" and entry.needs not in (None, *OF_AGENTS):
                continue
            kinds = set[str]() if entry.makes_its_own else set(entry.path.values()) & set(theirs)
            for kind in kinds - {"tenant", "version"}:
                pair = [
                    await world.send(client, name, path={**world.mine, kind: one[kind]})
                    for one in (theirs, ABSENT)
                ]
                assert (name, kind, *told(pair, theirs)) == (name, kind, *told(pair[1:] * 2, theirs))
            for place, kind in entry.query.items():
                pair = [
                    await world.send(client, name, path=world.mine, query={place: one[kind]})
                    for one in (theirs, ABSENT)
                ]
                check_untold(name, pair[0], {**theirs, kind: ""})
                if place != "cursor":
                    assert (name, place, *told(pair, theirs)) == (name, place, *told(pair[1:] * 2, theirs))
            for place, kind in entry.names.items():
                pair = [
                    await world.send(client, name, path=world.mine, names={place: one[kind]})
                    for one in (theirs, ABSENT)
                ]
                assert (name, place, *told(pair, theirs)) == (name, place, *told(pair[1:] * 2, theirs))


def told(answers: Sequence[httpx2.Response], theirs: Ids) -> list[tuple[int, str]]:
    """Answers without what names the request, and without the ids that they repeat."""
    found: list[tuple[int, str]] = []
    for answer in answers:
        text = re.sub(r'"request_id":"[^"]*"', "", answer.text)
        for one in (*theirs.values(), *ABSENT.values()):
            text = text.replace(one, "·")
        found.append((answer.status_code, text))
    return found


def check_closed(name: str, entry: Entry, answer: httpx2.Response, ids: Ids) -> None:
    """404 where the path has an id; else an answer in which nothing of these things stands."""
    takes = {kind for kind in entry.path.values() if kind not in ("tenant", "name", "file")}
    if takes & set(ids) and not entry.makes_its_own and entry.needs is not Scope.ADMIN_SERVICE:
        assert (name, answer.status_code) == (name, 404)
    if not entry.makes_its_own:
        check_untold(name, answer, ids)


def check_untold(name: str, answer: httpx2.Response, ids: Ids) -> None:
    """No id of these things, which the request did not hold, stands in the answer."""
    assert answer.status_code < 500, name
    if answer.status_code < 300:
        found = [kind for kind, one in ids.items() if kind not in ECHOED and one and one in answer.text]
        assert (name, found) == (name, [])


async def readings(world: World, key: str, ids: Ids) -> dict[str, object]:
    """How things stand, as their owner sees them; without when keys were last used."""
    seen: dict[str, object] = {}
    async with world.service.client(key) as client:
        for name, entry in ENTRIES.items():
            if name.startswith("GET") and entry.path and entry.has_target:
                answer = await world.send(client, name, path=ids)
                seen[name] = re.sub(r'"last_used_at":[^,}]*', "", answer.text)
    return seen
