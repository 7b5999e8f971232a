"""A secret that a tool, a model or a function says is in no row, no prompt, no event and no stream."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chargehand.app.core import Core
from chargehand.domain.access import Principal, Scope
from chargehand.domain.history import Event
from chargehand.domain.known_secrets import taken_out_of
from chargehand.domain.task import Task, TaskOrder
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.models import requests
from chargehand.runtimes import model_deltas
from chargehand.runtimes.model_deltas import CUT_CHARACTERS, MAX_CHARACTERS, Deltas
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.watch import Delta
from chargehand.tools.python import tool
from tests import given
from tests.given import ME
from tests.runtimes.test_model import DEFINITION, a_modelled_core
from tests.runtimes.test_model_live import held_back, texts, watched

CANARY = "canary-that-a-tool-says-5150"
OF_TEAM = "canary-of-a-team-8086"
TEAM = Principal(id="team", tenant="team", scopes=frozenset({Scope.ADMIN}))
LEAKING = DEFINITION.replace("tools: Read,", "tools: leak, Read,")
CALLS: list[JsonObject] = [
    {"name": "leak", "arguments": {}},
    {"name": "Write", "arguments": {"file_path": "notes.txt", "content": f"noted: {CANARY}"}},
]
TURNS: list[dict[str, Any]] = [
    {"thinking": f"I know {CANARY}.", "text": f"It is {CANARY}.", "calls": CALLS},
    {"text": f"Done with {CANARY}, all of it."},
]


@tool(risk="read", after_crash="repeat")
def leak() -> str:
    """Says what it was given."""
    return f"it is {CANARY}"


def stored(core: Core) -> bytes:
    """All that the data folder holds."""
    files = [path for path in core.settings.data_dir.rglob("*") if path.is_file()]
    return b"\n".join(path.read_bytes() for path in files)


@asynccontextmanager
async def noting_prompts(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[list[bytes]]:
    """What models are sent."""
    sent: list[bytes] = []
    made = requests.http_client

    def noting(limits: Any) -> httpx2.AsyncClient:
        client = made(limits)

        async def note(request: httpx2.Request) -> None:
            sent.append(request.content)

        client.event_hooks = {**client.event_hooks, "request": [*client.event_hooks["request"], note]}
        return client

    with monkeypatch.context() as patched:
        patched.setattr(requests, "http_client", noting)
        yield sent


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_what_a_tool_and_a_model_say_is_kept_told_and_sent_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    tools = (f"{__name__}:leak",)
    async with (
        noting_prompts(monkeypatch) as sent,
        a_modelled_core(tmp_path, TURNS, provider=provider, definition=LEAKING, tools=tools) as (core, _),
    ):
        await core.secrets.put(ME, "TOKEN", CANARY)
        task = await held_back(core, "writer")
        told = await watched(core, task)
        ended = await given.ended(core, task)

        assert isinstance(ended.result, dict), ended.error
        assert ended.result["text"] == "Done with [redacted], all of it."
        assert texts(told, "text", "0/0") == "It is [redacted]."
        assert texts(told, "thinking", "0/0") == "I know [redacted]."
        assert CANARY not in str(told)
        assert len(sent) == 2
        assert b"it is [redacted]" in sent[1]
        assert CANARY.encode() not in b"".join(sent)
        assert CANARY.encode() not in stored(core)


async def next_text(told: AsyncGenerator[Event | Delta | None]) -> object:
    async for one in told:
        if isinstance(one, Delta):
            return one.data["text"]
    raise AssertionError("the stream ended")


@asynccontextmanager
async def watched_deltas(
    folder: Path,
) -> AsyncGenerator[tuple[Deltas, AsyncGenerator[Event | Delta | None]]]:
    """What an answer says before it is complete, and what a watcher is told of it. The canary is a secret."""

    async def waits(ctx: PlaybookContext) -> JsonValue:
        return None

    async with given.a_core(folder, playbooks={"waits": waits}, with_engine=False) as core:
        await core.secrets.put(ME, "TOKEN", CANARY)
        task = await given.a_running_task(core, "waits")
        async with (
            aclosing(core.watch.follow_live(ME, task.id)) as told,
            asyncio.timeout(given.LIMIT_SECONDS),
        ):
            await anext(told)
            yield Deltas(core.attempts, task, "0/0"), told


async def test_a_secret_that_comes_in_two_pieces_is_told_in_neither(tmp_path: Path) -> None:
    async with watched_deltas(tmp_path) as (deltas, told):
        deltas.take("text", f"so it is {CANARY[:9]}")
        pieces = [await next_text(told)]
        deltas.take("text", f"{CANARY[9:]}, as said: {CANARY[:9]}")
        pieces.append(await next_text(told))
        deltas.complete()
        pieces.append(await next_text(told))

    assert pieces == ["so it is ", "[redacted], as said: ", CANARY[:9]]


async def test_of_a_long_piece_little_more_than_is_told_is_looked_through_and_no_cut_secret_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_through: list[int] = []

    def counting(value: str, tenant: str) -> str:
        looked_through.append(len(value))
        return taken_out_of(value, tenant)

    monkeypatch.setattr(model_deltas, "taken_out_of", counting)
    harmless = "All is well. " * 20_000
    most = MAX_CHARACTERS + CUT_CHARACTERS
    # Eight characters of the last one are before the cut, and there is room for them once the others are short.
    leaking = (f"{CANARY} " * 2_000)[-(most - 8) % (len(CANARY) + 1) :]
    assert leaking[:most].endswith(f" {CANARY[:8]}")
    async with watched_deltas(tmp_path) as (deltas, told):
        pieces: list[str] = []
        for text in (harmless, leaking):
            deltas.take("text", text)
            pieces.append(str(await next_text(told)))

    assert pieces[0] == harmless[:MAX_CHARACTERS]
    assert pieces[1].count("[redacted]") > 100
    assert CANARY[:4] not in pieces[1]
    assert looked_through == [most, most]


async def an_ended_task(core: Core, agent: str, **block: Any) -> Task:
    """One of another tenant than the operator's."""
    await core.agents.publish(TEAM, given.a_definition(agent, **block))
    accepted = await core.tasks.submit(TEAM, TaskOrder(agent_id=agent, task_data={}))
    return await core.watch.wait(TEAM, accepted.task.id, given.LIMIT_SECONDS)


async def test_a_tenants_secret_is_in_no_step_result_error_or_event_of_its_tasks(tmp_path: Path) -> None:
    seen: list[JsonValue] = []

    async def books(ctx: PlaybookContext) -> JsonValue:
        seen.append(await ctx.once("value", lambda: {"said": OF_TEAM}))
        return f"came to {OF_TEAM}"

    def fails(task_data: object) -> None:
        raise ValueError(f"no luck with {OF_TEAM}")

    def tells(task_data: object) -> JsonValue:
        return {"token": OF_TEAM, "code": "Authorization: Bearer abcdefghij"}

    functions = {"fails": fails, "tells": tells}
    async with given.a_core(tmp_path, playbooks={"books": books}, functions=functions) as core:
        await core.secrets.put(TEAM, "TOKEN", OF_TEAM)
        told = await an_ended_task(core, "books", playbook="books")
        failed = await an_ended_task(core, "fails", function="fails")
        returned = await an_ended_task(core, "tells", function="tells")

        assert (told.result, seen) == ("came to [redacted]", [{"said": "[redacted]"}])
        assert "no luck with [redacted]" in str(failed.error)
        # What only looks like a secret is the agent's work, and stays.
        assert returned.result == {"token": "[redacted]", "code": "Authorization: Bearer abcdefghij"}
        assert OF_TEAM.encode() not in stored(core)


async def test_another_tenants_work_is_not_changed_by_it(tmp_path: Path) -> None:
    def tells(task_data: object) -> str:
        return OF_TEAM

    functions = {"tells": tells}
    async with given.a_core(tmp_path, functions=functions) as core:
        await core.secrets.put(TEAM, "TOKEN", OF_TEAM)
        ended = await given.ended(core, await given.a_task(core, "tells"))

        assert ended.result == OF_TEAM
