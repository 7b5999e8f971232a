"""Every use case asks for its scope before it does anything: found by their signatures, so a new one is tested too."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import pytest

from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.errors import Forbidden
from chargehand.service.services import Services
from tests.api.service import open_service

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

NOBODY = Principal(id="nobody", tenant=DEFAULT_TENANT, scopes=frozenset())
ASKED_BY_OTHERS = frozenset(
    {
        *("agents.current", "agents.publish_all", "agents.seen_by", "tasks.prepared"),
        *("request_rates.take", "sessions.begin", "sessions.end", "streams.check", "streams.opened"),
    }
)
"""Parts of use cases that have asked already, and what everybody who may come in at all may do."""


@pytest.fixture
async def services(tmp_path: Path) -> AsyncGenerator[Services]:
    async with open_service(tmp_path / "data") as opened:
        yield opened.services


def use_cases(services: Services) -> dict[str, Callable[..., Any]]:
    """Every public method of every part whose first parameter is who asks."""
    found: dict[str, Callable[..., Any]] = {}
    for part in fields(services):
        subject = getattr(services, part.name)
        for name, method in inspect.getmembers(subject, inspect.ismethod):
            if not name.startswith("_") and "who" in list(inspect.signature(method).parameters)[:1]:
                found[f"{part.name}.{name}"] = method
    return found


async def called(method: Callable[..., Any]) -> None:
    parameters = list(inspect.signature(method).parameters.values())[1:]
    given = [None for one in parameters if one.default is one.empty and one.kind is not one.KEYWORD_ONLY]
    named = {
        one.name: None for one in parameters if one.default is one.empty and one.kind is one.KEYWORD_ONLY
    }
    answer = method(NOBODY, *given, **named)
    if inspect.isasyncgen(answer):
        await anext(cast("AsyncIterator[Any]", answer))
    elif hasattr(answer, "__aenter__"):
        async with answer:
            pass
    elif inspect.isawaitable(answer):
        await answer


async def test_no_use_case_does_anything_for_who_may_do_nothing(services: Services) -> None:
    found = use_cases(services)
    careless: dict[str, str] = {}

    for name in found.keys() - ASKED_BY_OTHERS:
        try:
            await called(found[name])
        except Forbidden:
            continue
        except Exception as error:  # noqa: BLE001 - whatever came before the refusal is the fault that is looked for
            careless[name] = repr(error)
        else:
            careless[name] = "done"

    assert careless == {}
    assert len(found) > 25
    assert found.keys() >= ASKED_BY_OTHERS


@pytest.mark.parametrize("scope", [Scope.WEBHOOKS_WRITE, Scope.TASKS_READ])
async def test_who_has_events_sent_needs_both_to_send_and_to_read_them(
    services: Services, scope: Scope
) -> None:
    who = replace(NOBODY, scopes=frozenset({scope}))

    with pytest.raises(Forbidden):
        await services.webhooks.create(who, cast("Any", None))
