"""What a script says arrives at the providers' real clients, whole and streamed, in every protocol."""

import asyncio

import pytest
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models import Model

from chargehand.testkit.server import scripted_models
from tests.testkit.models import PROTOCOLS, http_client, model_of, request_in

LONG = "It was a long answer, with ümlauts and 文字, in many pieces. " * 5

SCRIPT = [
    {
        "match": {"model": "script*", "prompt_contains": "weather", "system_contains": "be brief"},
        "turns": [
            {
                "thinking": "I must look it up, in two places at once.",
                "text": LONG,
                "calls": [
                    {"name": "lookup", "arguments": {"city": "Bern", "days": [1, 2], "deep": {"a": None}}},
                    {"name": "now"},
                ],
                "usage": {"input": 120, "output": 45},
            },
            {"calls": [{"name": "lookup", "arguments": {"city": "Genf"}}]},
            {"text": "Rain."},
        ],
    },
    {"turns": [{"text": "Somebody else."}]},
]

pytestmark = pytest.mark.parametrize("protocol", PROTOCOLS)


async def ask(model: Model, messages: list[ModelMessage], *, is_streamed: bool) -> ModelResponse:
    if not is_streamed:
        return await model_request(model, messages)
    async with model_request_stream(model, messages) as stream:
        async for _ in stream:
            pass
        return stream.get()


def results_of(response: ModelResponse) -> ModelRequest:
    parts = [ToolReturnPart(call.tool_name, "dry", call.tool_call_id) for call in response.tool_calls]
    return ModelRequest(parts=parts, instructions="be brief")


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_thinking_text_calls_and_usage_arrive(protocol: str, is_streamed: bool) -> None:
    async with scripted_models(SCRIPT) as (url, _), model_of(protocol, url) as model:
        question = ModelRequest.user_text_prompt("How is the weather?", instructions="be brief")

        response = await ask(model, [question], is_streamed=is_streamed)

    thinking, text, first, second = response.parts
    assert isinstance(thinking, ThinkingPart)
    assert thinking.content == "I must look it up, in two places at once."
    assert isinstance(text, TextPart)
    assert text.content == LONG
    assert isinstance(first, ToolCallPart)
    assert (first.tool_name, first.tool_call_id) == ("lookup", "call_c0_t0_0")
    assert first.args_as_dict() == {"city": "Bern", "days": [1, 2], "deep": {"a": None}}
    assert isinstance(second, ToolCallPart)
    assert (second.tool_name, second.tool_call_id) == ("now", "call_c0_t0_1")
    assert second.args_as_dict() == {}
    assert (response.usage.input_tokens, response.usage.output_tokens) == (120, 45)


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_conversation_goes_through_its_turns_and_is_logged(protocol: str, is_streamed: bool) -> None:
    async with scripted_models(SCRIPT) as (url, log), model_of(protocol, url) as model:
        messages: list[ModelMessage] = [
            ModelRequest.user_text_prompt("How is the weather?", instructions="be brief")
        ]
        for _ in range(2):
            response = await ask(model, messages, is_streamed=is_streamed)
            messages += [response, results_of(response)]

        last = await ask(model, messages, is_streamed=is_streamed)

    assert last.text == "Rain."
    assert [(one.protocol, one.conversation, one.turn, one.ended) for one in log] == [
        (protocol, 0, turn, "answered") for turn in range(3)
    ]
    assert {one.is_streamed for one in log} == {is_streamed}
    assert len({one.messages_hash for one in log}) == 3


async def test_the_same_request_gets_the_same_answer_however_often(protocol: str) -> None:
    path, body = request_in(protocol, "How is it?", is_streamed=False)
    async with scripted_models(SCRIPT) as (url, log), http_client(url) as http:
        answers = [(await http.post(path, json=body)).content for _ in range(3)]

    assert len(set(answers)) == 1
    assert b"Somebody else." in answers[0]
    assert len({one.messages_hash for one in log}) == 1


async def test_past_the_last_turn_the_answer_names_conversation_and_turn(protocol: str) -> None:
    async with scripted_models(SCRIPT) as (url, log), model_of(protocol, url) as model:
        messages: list[ModelMessage] = [ModelRequest.user_text_prompt("Who is there?")]
        response = await model_request(model, messages)
        messages += [response, ModelRequest.user_text_prompt("And now?")]

        with pytest.raises(Exception, match="conversation 1 has 1 turns and was asked for turn 1"):
            await model_request(model, messages)

    assert [(one.ended, one.status) for one in log] == [("answered", 200), ("refused", 400)]


async def test_a_request_that_nothing_matches_is_refused(protocol: str) -> None:
    path, body = request_in(protocol, "How is it?", is_streamed=True)
    script = [{"match": {"prompt_contains": "weather"}, "turns": [{"text": "Rain."}]}]
    async with scripted_models(script) as (url, _), http_client(url) as http:
        answer = await http.post(path, json=body)

    assert answer.status_code == 400
    assert "no conversation of the script matches" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"{}", b'{"model": 1}', b"\xff"])
async def test_what_is_no_request_is_refused_in_the_protocols_own_form(protocol: str, body: bytes) -> None:
    path, _ = request_in(protocol, "", is_streamed=False)
    async with scripted_models(SCRIPT) as (url, log), http_client(url) as http:
        answer = await http.post(path, content=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert [one.ended for one in log] == ["refused"]


async def test_conversations_that_go_on_at_once_do_not_mix(protocol: str) -> None:
    script = [
        {
            "match": {"prompt_contains": f"number {n}."},
            "turns": [{"text": f"first {n}"}, {"text": f"then {n}"}],
        }
        for n in range(5)
    ]

    async def talk(model: Model, number: int) -> list[str | None]:
        messages: list[ModelMessage] = [ModelRequest.user_text_prompt(f"This is number {number}.")]
        first = await model_request(model, messages)
        messages += [first, ModelRequest.user_text_prompt("Go on.")]
        return [first.text, (await model_request(model, messages)).text]

    async with scripted_models(script) as (url, log), model_of(protocol, url) as model:
        said = await asyncio.gather(*(talk(model, number % 5) for number in range(20)))

    assert said == [[f"first {n % 5}", f"then {n % 5}"] for n in range(20)]
    assert len(log) == 40
