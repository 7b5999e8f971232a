"""Wrong keys: after a few from one address, the others are refused unread, and nobody else suffers from it."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx2
import pytest

from chargehand.domain.access import Principal, Scope
from chargehand.errors import TooManyRequests, Unauthorized
from chargehand.service.access import Access
from chargehand.service.authentication_tries import FIRST_WAVE, AuthenticationTries
from chargehand.settings import Settings
from chargehand.store.rates import Rate
from tests.api.service import OWNER, Service, open_service
from tests.given import TestClock
from tests.issuer import local_issuer

BURST = 20
WRONG = "chg_live_" + "A" * 46


def with_usual_limits(folder: Path, clock: TestClock) -> AbstractAsyncContextManager[Service]:
    settings = Settings(data_dir=folder / "data")
    return open_service(settings.data_dir, settings=settings, clock=clock)


async def tried(client: httpx2.AsyncClient, count: int, path: str = "/whoami") -> list[int]:
    headers = [{"Authorization": f"Bearer {WRONG[:-4]}{number:04}"} for number in range(count)]
    return [(await client.get(path, headers=one)).status_code for one in headers]


async def test_after_a_burst_wrong_keys_are_refused_unread_until_the_allowance_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = TestClock()
    asked: list[str] = []
    verify = Access.verify

    async def counting(self: Access, token: str) -> Principal:
        asked.append(token)
        return await verify(self, token)

    monkeypatch.setattr(Access, "verify", counting)
    async with (
        open_service(
            tmp_path / "data", settings=Settings(data_dir=tmp_path / "data"), clock=clock
        ) as service,
        service.client(None) as stranger,
    ):
        first = await tried(stranger, BURST + 5)
        looked_at = len(asked)
        refused = await stranger.get("/whoami", headers={"Authorization": f"Bearer {WRONG}"})
        clock.advance(1)
        later = await tried(stranger, 12)

    assert first == [401] * BURST + [429] * 5
    assert looked_at == BURST
    assert "CHARGEHAND_FAILED_AUTHENTICATIONS_PER_SECOND" in refused.json()["detail"]
    assert refused.headers["retry-after"] == "1"
    assert later == [401] * 10 + [429] * 2


async def test_a_key_that_was_good_before_is_not_refused_for_what_others_do(tmp_path: Path) -> None:
    clock = TestClock()
    async with open_service(
        tmp_path / "data", settings=Settings(data_dir=tmp_path / "data"), clock=clock
    ) as service:
        new = await service.key_with(Scope.TASKS_READ)
        async with service.client(service.key) as client, service.client(None) as stranger:
            assert (await client.get("/whoami")).status_code == 200
            await tried(stranger, BURST + 1)
            # The key is no longer in the cache of those that were verified a moment ago.
            clock.advance(6)
            await tried(stranger, BURST * 4)
            answer = await client.get("/whoami")
            async with service.client(new) as late:
                never_seen = await late.get("/whoami")

    assert answer.status_code == 200
    assert never_seen.status_code == 429


async def test_a_revoked_key_counts_as_a_wrong_one(tmp_path: Path) -> None:
    async with open_service(
        tmp_path / "data", settings=Settings(data_dir=tmp_path / "data"), clock=TestClock()
    ) as service:
        key, record = await service.services.keys.issue(OWNER, "short", frozenset({Scope.TASKS_READ}))
        async with service.client(key) as client:
            before = (await client.get("/whoami")).status_code
            await service.services.keys.revoke(OWNER, record.id)
            after = [(await client.get("/whoami")).status_code for _ in range(BURST + 2)]

    assert before == 200
    assert after == [401] * BURST + [429] * 2


async def statuses(service: Service, shown: str, count: int) -> list[int]:
    async with service.client(shown) as client:
        return [(await client.get("/whoami")).status_code for _ in range(count)]


async def test_what_a_suspended_tenants_callers_show_counts_as_wrong_and_stops_nobody_elses_good_key(
    tmp_path: Path,
) -> None:
    clock = TestClock()
    async with local_issuer() as issuer:
        settings = Settings(data_dir=tmp_path / "data", issuers_file=issuer.file(tmp_path, tenant="shop"))
        async with open_service(settings.data_dir, settings=settings, clock=clock) as service:
            tenants = service.services.tenants
            key = (await tenants.create(OWNER, "shop")).key or ""
            token = issuer.token(issuer.claims(clock.now()))
            before = [await statuses(service, one, 1) for one in (service.key, key, token)]
            await tenants.change(OWNER, "shop", is_suspended=True)
            after: list[list[int]] = []
            others: list[list[int]] = []
            for shown in (key, token):
                # The allowance is whole again, and no key is in the cache of those just verified.
                clock.advance(6)
                after.append(await statuses(service, shown, BURST + 3))
                others.append(await statuses(service, service.key, 2))
            await tenants.change(OWNER, "shop", is_suspended=False)
            clock.advance(1)
            resumed = [await statuses(service, one, 2) for one in (key, token)]

    assert before == [[200]] * 3
    assert after == [[403] * BURST + [429] * 3] * 2
    assert others == [[200] * 2] * 2
    assert resumed == [[200] * 2] * 2


async def test_no_key_at_all_costs_nothing_and_is_not_counted(
    service: Service, stranger: httpx2.AsyncClient
) -> None:
    answers = [(await stranger.get("/whoami")).status_code for _ in range(BURST * 2)]

    assert set(answers) == {401}


async def test_public_paths_answer_whatever_was_tried(service: Service, stranger: httpx2.AsyncClient) -> None:
    await tried(stranger, BURST + 1)

    assert await tried(stranger, 3, "/health") == [200, 200, 200]


async def test_a_wave_at_once_is_looked_at_no_further_than_a_bound() -> None:
    tries = AuthenticationTries(Rate(per_second=10.0, burst=20), lambda: 0.0)
    looked_at, go_on = 0, asyncio.Event()

    async def verify(token: str) -> Principal:
        nonlocal looked_at
        looked_at += 1
        await go_on.wait()
        raise Unauthorized("no")

    async with asyncio.TaskGroup() as all_at_once:
        wave = [all_at_once.create_task(_outcome(tries, f"key-{number}", verify)) for number in range(1000)]
        await asyncio.sleep(0)
        go_on.set()

    assert looked_at == FIRST_WAVE * 20
    assert [one.result() for one in wave].count(TooManyRequests) == 1000 - looked_at


async def _outcome(tries: AuthenticationTries, token: str, verify: object) -> type[Exception]:
    try:
        await tries.verified("203.0.113.9", token, verify)  # pyright: ignore[reportArgumentType] - as above
    except (Unauthorized, TooManyRequests) as error:
        return type(error)
    raise AssertionError


async def test_addresses_fail_each_for_itself(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", trusted_proxies=("127.0.0.1",))
    async with (
        open_service(tmp_path / "data", settings=settings, clock=TestClock()) as service,
        service.client(None) as stranger,
    ):
        found: dict[str, int] = {}
        for address in ["198.51.100.1"] * (BURST + 1) + ["198.51.100.2"]:
            headers = {"Authorization": f"Bearer {WRONG}", "X-Forwarded-For": address}
            found[address] = (await stranger.get("/whoami", headers=headers)).status_code

    assert found == {"198.51.100.1": 429, "198.51.100.2": 401}
