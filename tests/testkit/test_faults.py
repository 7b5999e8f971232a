"""What goes wrong by script goes wrong in just that way, in every protocol."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx2
import pytest
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelRequest, ToolCallPart

from chargehand.testkit.server import scripted_models
from tests.testkit.models import PROTOCOLS, http_client, model_of, request_in

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)
whole_and_streamed = pytest.mark.parametrize("is_streamed", [False, True])


def script(**fault: object) -> list[object]:
    call = {"name": "lookup", "arguments": {"city": "Bern"}}
    return [{"turns": [{"text": "All is well. " * 20, "calls": [call], "fault": fault}]}]


async def post(url: str, protocol: str, prompt: str, *, is_streamed: bool = False) -> httpx2.Response:
    path, body = request_in(protocol, prompt, is_streamed=is_streamed)
    async with http_client(url) as http:
        return await http.post(path, json=body)


async def read_to_the_end(
    http: httpx2.AsyncClient, path: str, body: dict[str, object]
) -> tuple[bytes, httpx2.TransportError | None]:
    """What arrives, and what it ends with when that is no proper end."""
    received = b""
    async with http.stream("POST", path, json=body) as answer:
        try:
            async for chunk in answer.aiter_bytes():
                received += chunk
        except httpx2.TransportError as error:
            return received, error
    return received, None


@each_protocol
@whole_and_streamed
async def test_a_status_comes_so_many_times_for_each_conversation(protocol: str, is_streamed: bool) -> None:
    async with scripted_models(script(status=429, retry_after=0.5, times=2)) as (url, log):
        answers = [
            await post(url, protocol, prompt, is_streamed=is_streamed)
            for prompt in ("one", "one", "two", "one", "two", "two")
        ]

    assert [answer.status_code for answer in answers] == [429, 429, 429, 200, 429, 200]
    assert answers[0].headers["retry-after"] == "1"
    assert answers[0].headers["content-type"] == "application/json"
    assert [one.ended for one in log][2:4] == ["fault: status", "answered"]


@each_protocol
@pytest.mark.parametrize("status", [500, 503, 529])
async def test_a_client_sees_the_status(protocol: str, status: int) -> None:
    async with scripted_models(script(status=status)) as (url, _):
        answer = await post(url, protocol, "go")

    assert answer.status_code == status
    assert answer.json()["error"]["message"] == f"scripted: the answer is {status}"


@each_protocol
async def test_a_providers_client_reads_the_error(protocol: str) -> None:
    async with scripted_models(script(status=403)) as (url, _), model_of(protocol, url) as model:
        with pytest.raises(ModelHTTPError, match="scripted: the answer is 403"):
            await model_request(model, [ModelRequest.user_text_prompt("go")])


@each_protocol
async def test_nothing_comes_before_the_client_gives_up(protocol: str) -> None:
    path, body = request_in(protocol, "go", is_streamed=True)
    async with scripted_models(script(hang_before=True)) as (url, log), http_client(url, timeout=0.1) as http:
        with pytest.raises(httpx2.ReadTimeout):
            await http.post(path, json=body)

    assert [(one.ended, one.status) for one in log] == [("fault: hang_before", None)]


@each_protocol
@whole_and_streamed
async def test_a_stream_stops_in_the_middle_and_stays_open(protocol: str, is_streamed: bool) -> None:
    path, body = request_in(protocol, "go", is_streamed=is_streamed)
    async with (
        scripted_models(script(hang_midstream=True)) as (url, _),
        http_client(url, timeout=0.3) as http,
    ):
        received, end = await read_to_the_end(http, path, body)

    assert b"All is well" in received
    assert isinstance(end, httpx2.ReadTimeout)


@each_protocol
@whole_and_streamed
async def test_a_stream_is_cut_in_the_middle(protocol: str, is_streamed: bool) -> None:
    path, body = request_in(protocol, "go", is_streamed=is_streamed)
    async with scripted_models(script(cut_midstream=True)) as (url, _), http_client(url) as http:
        received, end = await read_to_the_end(http, path, body)

    assert b"All is well" in received
    assert isinstance(end, httpx2.RemoteProtocolError)


@pytest.mark.parametrize("protocol", ["openai-chat", "openai-responses", "anthropic-messages"])
async def test_arguments_are_no_json(protocol: str) -> None:
    async with (
        scripted_models(script(bad_json_arguments=True)) as (url, _),
        model_of(protocol, url) as model,
    ):
        response = await model_request(model, [ModelRequest.user_text_prompt("go")])

    call = response.parts[-1]
    assert isinstance(call, ToolCallPart)
    assert call.args == '{"city":"Bern"'


async def test_arguments_of_gemini_are_no_object() -> None:
    async with scripted_models(script(bad_json_arguments=True)) as (url, _):
        answer = await post(url, "gemini", "go")

    parts = answer.json()["candidates"][0]["content"]["parts"]
    assert parts[-1]["functionCall"]["args"] == '{"city":"Bern"'


@each_protocol
@whole_and_streamed
async def test_an_answer_is_huge(protocol: str, is_streamed: bool) -> None:
    async with scripted_models(script(huge_body_bytes=3_000_000)) as (url, _):
        answer = await post(url, protocol, "go", is_streamed=is_streamed)

    assert len(answer.content) > 3_000_000


@each_protocol
@whole_and_streamed
async def test_an_answer_is_garbage(protocol: str, is_streamed: bool) -> None:
    async with scripted_models(script(garbage=True)) as (url, _):
        answer = await post(url, protocol, "go", is_streamed=is_streamed)

    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text.splitlines()[0].removeprefix("data: "))


@each_protocol
@whole_and_streamed
async def test_an_answer_is_empty(protocol: str, is_streamed: bool) -> None:
    async with scripted_models(script(empty=True)) as (url, _):
        answer = await post(url, protocol, "go", is_streamed=is_streamed)

    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_stop_ends_what_hangs() -> None:
    path, body = request_in("openai-chat", "go", is_streamed=True)
    async with http_client() as http:
        async with scripted_models(script(hang_midstream=True)) as (url, log):
            request = http.build_request("POST", url + path, json=body)
            answer = await http.send(request, stream=True)

        with pytest.raises(httpx2.RemoteProtocolError):
            await answer.aread()

    assert [one.ended for one in log] == ["fault: hang_midstream"]


async def test_a_late_answer_still_comes() -> None:
    late = [{"turns": [{"text": "At last.", "delay_seconds": 0.01}]}]
    async with scripted_models(late) as (url, log):
        answer = await post(url, "openai-chat", "go")

    assert answer.status_code == 200
    assert [one.ended for one in log] == ["answered"]


async def test_a_client_that_does_not_wait_for_a_late_answer_is_logged_as_gone() -> None:
    path, body = request_in("openai-chat", "go", is_streamed=False)
    late = [{"turns": [{"text": "Too late.", "delay_seconds": 3600}]}]
    async with scripted_models(late) as (url, log), http_client(url, timeout=0.1) as http:
        with pytest.raises(httpx2.ReadTimeout):
            await http.post(path, json=body)

    assert [one.ended for one in log] == ["gone"]


@each_protocol
async def test_a_wait_is_told_as_a_date(protocol: str) -> None:
    async with scripted_models(script(status=429, retry_after=90, retry_after_as_date=True)) as (url, _):
        answer = await post(url, protocol, "go")

    wait = parsedate_to_datetime(answer.headers["retry-after"]) - datetime.now(UTC)
    assert timedelta(seconds=60) < wait <= timedelta(seconds=91)


@each_protocol
@whole_and_streamed
async def test_an_answer_is_of_another_schema(protocol: str, is_streamed: bool) -> None:
    async with scripted_models(script(other_schema=True)) as (url, _):
        answer = await post(url, protocol, "go", is_streamed=is_streamed)

    assert answer.status_code == 200
    body = answer.text.removeprefix("data: ") if is_streamed else answer.text
    assert json.loads(body) == {"answer": {"is": ["of", "another", "schema"]}}


@each_protocol
async def test_an_answer_is_a_page(protocol: str) -> None:
    async with scripted_models(script(other_type=True)) as (url, _):
        answer = await post(url, protocol, "go")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")


@each_protocol
async def test_an_answer_leads_elsewhere(protocol: str) -> None:
    async with scripted_models(script(redirect=True)) as (url, log):
        answer = await post(url, protocol, "go")

    assert (answer.status_code, answer.headers["location"]) == (307, "/elsewhere")
    assert [(one.ended, one.status) for one in log] == [("fault: redirect", 307)]


@each_protocol
async def test_a_small_answer_unpacks_to_a_large_one(protocol: str) -> None:
    path, body = request_in(protocol, "go", is_streamed=False)
    async with scripted_models(script(gzip_bomb_bytes=3_000_000)) as (url, _), http_client(url) as http:
        answer = await http.post(path, json=body)

    assert int(answer.headers["content-length"]) < 10_000
    assert len(answer.content) == 3_000_000


@each_protocol
@whole_and_streamed
async def test_an_answer_does_not_end_until_the_client_leaves(protocol: str, is_streamed: bool) -> None:
    path, body = request_in(protocol, "go", is_streamed=is_streamed)
    received = 0
    async with (
        scripted_models(script(endless=True)) as (url, log),
        http_client(url) as http,
        http.stream("POST", path, json=body) as answer,
    ):
        async for chunk in answer.aiter_bytes():
            received += len(chunk)
            if received > 2_000_000:
                break
    # The server has been stopped by now, and with it whatever it still sent.
    assert [one.ended for one in log] == ["fault: endless"]


@each_protocol
async def test_an_answer_drips(protocol: str) -> None:
    drips = [{"turns": [{"text": "Hi.", "fault": {"drip_seconds": 0.001}}]}]
    path, body = request_in(protocol, "go", is_streamed=False)
    async with (
        scripted_models(drips) as (url, _),
        http_client(url) as http,
        http.stream("POST", path, json=body) as answer,
    ):
        chunks = [chunk async for chunk in answer.aiter_raw()]

    assert len(chunks) > 20
    assert json.loads(b"".join(chunks))
