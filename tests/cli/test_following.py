"""Streams of events survive cut connections: each event once, in order, to the end."""

import pytest

from chargehand.client import AsyncClient, submission
from chargehand.errors import NotFound, Unauthorized, Unavailable
from tests.cli.bad_line import a_bad_line
from tests.cli.service import Cli, Running

NOBODYS = "0190f7a2-91b4-7c3d-8a55-0242ac120002"


def client_of(cli: Cli, url: str, **options: float) -> AsyncClient:
    key = (cli.data_dir / "admin.key").read_text(encoding="ascii").strip()
    return AsyncClient(url, key, **options)


@pytest.mark.parametrize("seed", range(3))
async def test_events_over_a_line_that_is_cut_at_random_come_once_and_in_order(
    cli: Cli, service: Running, seed: int
) -> None:
    async with client_of(cli, service.url) as direct:
        task = await direct.submit(submission("leader", {}, wait_seconds=30))
        expected = [event.sequence async for event in direct.events(task.id)]

        with a_bad_line(service.url, most_bytes=1500, seed=seed) as line:
            async with client_of(cli, line.url) as client:
                seen = [event.sequence async for event in client.follow(task.id)]

    assert line.breaks >= 2
    assert seen == expected == list(range(1, task.last_event + 1))


async def test_a_stream_begins_after_the_event_that_is_known(cli: Cli, service: Running) -> None:
    async with client_of(cli, service.url) as client:
        task = await client.submit(submission("greeter", {}, wait_seconds=30))

        rest = [event.sequence async for event in client.follow(task.id, after=task.last_event - 2)]
        nothing = [event.sequence async for event in client.follow(task.id, after=task.last_event)]

    assert rest == [task.last_event - 1, task.last_event]
    assert nothing == []


async def test_a_service_that_stays_away_ends_the_stream_with_an_error(cli: Cli, service: Running) -> None:
    troubles: list[str] = []

    with a_bad_line(service.url, most_bytes=1, seed=0) as line:
        async with client_of(cli, line.url, patience_seconds=0, reconnect_seconds=0.5) as client:
            following = client.follow(NOBODYS, on_trouble=troubles.append)
            with pytest.raises(Unavailable):
                await anext(following)

    assert troubles


async def test_what_cannot_be_mended_by_waiting_ends_the_stream_at_once(cli: Cli, service: Running) -> None:
    async with client_of(cli, service.url) as client:
        with pytest.raises(NotFound):
            await anext(client.follow(NOBODYS))


async def test_a_submission_whose_answer_is_lost_is_stored_once(cli: Cli, service: Running) -> None:
    call = submission("greeter", {"name": "lost"}, labels={"test": "lost-answer"})

    with a_bad_line(service.url, most_bytes=4000, seed=1) as line:
        async with client_of(cli, line.url, patience_seconds=30) as client:
            task = await client.submit(call)

    listed = cli.run("tasks", "list", "--label", "test=lost-answer").stdout
    assert [line.split()[0] for line in listed.splitlines()[1:]] == [task.id]


async def test_the_key_decides_what_may_be_asked(cli: Cli, service: Running) -> None:
    async with client_of(cli, service.url) as client:
        who = await client.whoami()
        ready = await client.ready()
    async with AsyncClient(service.url) as stranger:
        health = await stranger.health()
        with pytest.raises(Unauthorized):
            await stranger.whoami()

    assert "admin" in who.scopes
    assert ready.status == "ready"
    assert (health.status, health.service) == ("healthy", "ai-agent-api")
