"""How many of a thing a tenant may have holds also for those who make them at once, on every database."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from chargehand.domain.access import Scope
from chargehand.domain.schedule import ScheduleOrder
from chargehand.domain.webhook import WebhookOrder
from chargehand.errors import Conflict
from chargehand.service.services import Services
from tests.api.service import OWNER, STRANGER, open_service

AT_ONCE = 6
Made = Callable[[Services, str], Awaitable[object]]


def a_key(services: Services, name: str) -> Awaitable[object]:
    return services.keys.issue(OWNER, name, frozenset({Scope.TASKS_READ}))


def a_secret(services: Services, name: str) -> Awaitable[object]:
    return services.secrets.put(OWNER, name, "a long random text")


def a_schedule(services: Services, name: str) -> Awaitable[object]:
    order = ScheduleOrder(name=name, cron="@daily", agent_id="echo", task_data={})
    return services.schedules.create(OWNER, order)


def a_webhook(services: Services, name: str) -> Awaitable[object]:
    return services.webhooks.create(OWNER, WebhookOrder(url=f"https://count.invalid/{name}"))


@pytest.mark.parametrize(
    ("limit", "there_are", "make"),
    [
        # One key is the administrator's.
        ("keys.MAX_LIVE_KEYS", 1, a_key),
        ("secrets.MOST", 1, a_secret),
        ("schedules.MAX_SCHEDULES", 0, a_schedule),
        ("webhooks.MAX_WEBHOOKS", 0, a_webhook),
    ],
)
async def test_of_those_made_at_once_only_as_many_are_as_there_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, there_are: int, make: Made
) -> None:
    monkeypatch.setattr(f"chargehand.service.{limit}", there_are + 2)
    monkeypatch.setattr("chargehand.service.webhooks.SETTLED_SECONDS", 0)
    async with open_service(tmp_path) as service:
        services = service.services
        # Whoever had to open a connection first would come too late to meet the others.
        await services.secrets.put(OWNER, "warm", "a long random text")
        await asyncio.gather(*(services.secrets.put(OWNER, "warm", str(n) * 9) for n in range(AT_ONCE)))

        outcomes = await asyncio.gather(
            *(make(services, f"one-{number}") for number in range(AT_ONCE)), return_exceptions=True
        )

    faults = [one for one in outcomes if isinstance(one, BaseException)]
    assert [type(one) for one in faults] == [Conflict] * (AT_ONCE - 2), faults
    assert all("as many as there may be" in str(one) for one in faults)


async def test_a_tenant_without_a_row_has_them_too(tmp_path: Path) -> None:
    """As where a program embeds the service."""
    async with open_service(tmp_path) as service:
        _, is_new = await service.services.secrets.put(STRANGER, "token", "a long random text")

    assert is_new
