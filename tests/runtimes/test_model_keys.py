"""Whose key a model is asked with: the tenant's own secret goes before the service's key, and stands nowhere."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chargehand.app.core import Core
from chargehand.domain.task import Status
from chargehand.models import requests
from chargehand.testkit.server import Scripted, scripted_models
from tests import given
from tests.given import ME
from tests.runtimes.test_model import BASE_PATHS, DEFINITION, MODELS

OWN, SERVICE = "canary-key-of-the-tenant", "canary-key-of-the-service"


@asynccontextmanager
async def a_core(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> AsyncGenerator[tuple[Core, Scripted, list[str]], None]:
    """A core whose agent asks a scripted model, and the keys that it was asked with."""
    sent: list[str] = []
    made = requests.http_client

    def noting(limits: Any) -> httpx2.AsyncClient:
        client = made(limits)

        async def note(request: httpx2.Request) -> None:
            sent.append(request.headers.get("x-api-key") or request.headers["authorization"].split()[1])

        client.event_hooks = {**client.event_hooks, "request": [*client.event_hooks["request"], note]}
        return client

    monkeypatch.setattr(requests, "http_client", noting)
    async with scripted_models([{"turns": [{"text": "Done."}]}]) as models:
        urls = {"anthropic": models.url + BASE_PATHS["anthropic"]}
        async with given.a_core(folder, model_urls=urls, model=MODELS["anthropic"], **options) as core:
            await core.agents.publish(ME, DEFINITION)
            yield core, models, sent


async def ended(core: Core) -> Status:
    return (await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))).status


async def test_a_tenants_own_key_is_used_from_the_request_after_it_was_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SERVICE)
    async with a_core(tmp_path, monkeypatch) as (core, _, sent):
        await ended(core)
        await core.secrets.put(ME, "model:anthropic", OWN)
        await ended(core)
        await core.secrets.delete(ME, "model:anthropic")
        await ended(core)
        for path in (tmp_path / "data").rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            assert OWN.encode() not in content
            assert SERVICE.encode() not in content

    assert sent == [SERVICE, OWN, SERVICE]


async def test_where_tenants_bring_their_keys_the_services_own_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", SERVICE)
    monkeypatch.setattr("chargehand.models.choice._is_local", lambda url: False)  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType] - any address
    async with a_core(tmp_path, monkeypatch, model_keys="tenants") as (core, _, sent):
        failed = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))
        await core.secrets.put(ME, "model:anthropic", OWN)

        assert await ended(core) is Status.COMPLETED

    assert sent == [OWN]
    assert failed.status is Status.FAILED
    assert "set its secret 'model:anthropic'" in str(failed.error)


async def test_a_tenants_key_that_is_refused_is_told_by_the_secrets_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scripted_models([{"turns": [{"fault": {"status": 401, "message": f"no {OWN}"}}]}]) as models:
        urls = {"anthropic": models.url + BASE_PATHS["anthropic"]}
        async with given.a_core(tmp_path, model_urls=urls, model=MODELS["anthropic"]) as core:
            await core.agents.publish(ME, DEFINITION)
            await core.secrets.put(ME, "model:anthropic", OWN)
            failed = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

    assert "set the secret model:anthropic to a valid one" in str(failed.error)
    assert OWN not in str(failed.error)
