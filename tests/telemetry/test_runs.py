"""Spans and counts of runs: what they hold, what they never hold, and the trace that goes through it all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from chargehand.domain.history import EventKind
from chargehand.errors import RuntimeMissing
from chargehand.telemetry import traces
from chargehand.telemetry.metrics import MAX_SERIES, Counter, Metrics
from chargehand.telemetry.runs import Telemetry
from chargehand.telemetry.traces import OpenTraces, Traces, open_traces, valid_traceparent
from tests import given
from tests.given import ME
from tests.runtimes.test_model import WRITE, a_modelled_core

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
CANARY = "canary-6f1d"


def collecting(*, with_content: bool = False) -> tuple[Telemetry, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Telemetry(traces=OpenTraces(provider, with_content=with_content)), exporter


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return dict(span.attributes or {})


def identity(span: ReadableSpan) -> tuple[str, str | None]:
    """The span's id and its parent's."""
    assert span.context is not None
    parent = f"{span.parent.span_id:016x}" if span.parent is not None else None
    return f"{span.context.span_id:016x}", parent


async def test_a_run_leaves_spans_as_the_conventions_name_them(tmp_path: Path) -> None:
    telemetry, exporter = collecting()
    write = {"name": "Write", "arguments": {"file_path": "notes.txt", "content": CANARY}}
    turns = [{"calls": [write], "usage": {"input": 70, "output": 5}}, {"text": CANARY}]
    async with a_modelled_core(tmp_path, turns, telemetry=telemetry) as (core, models):
        task = await given.a_task(core, "writer", {"prompt": CANARY}, traceparent=TRACEPARENT)
        await given.ended(core, task)

    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"invoke_agent writer", "chat claude-test", "execute_tool Write"}
    first_chat = next(one for one in exporter.get_finished_spans() if one.name == "chat claude-test")
    agent = spans["invoke_agent writer"]
    assert attributes(first_chat) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-test",
        "gen_ai.response.model": "claude-test",
        "gen_ai.response.finish_reasons": ("tool_call",),
        "gen_ai.usage.input_tokens": 70,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_creation.input_tokens": 0,
    }
    assert attributes(agent)["chargehand.outcome"] == "completed"
    assert attributes(agent)["gen_ai.agent.id"] == "writer"
    assert identity(agent)[1] == "00f067aa0ba902b7"
    assert {identity(spans[name])[1] for name in ("chat claude-test", "execute_tool Write")} == {
        identity(agent)[0]
    }
    chats = [one for one in exporter.get_finished_spans() if one.name == "chat claude-test"]
    assert [one.traceparent for one in models.log] == [f"00-{TRACE}-{identity(one)[0]}-01" for one in chats]
    assert CANARY not in "".join(span.to_json() for span in exporter.get_finished_spans())
    assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider), "nothing global was set"


async def test_content_is_in_the_spans_only_when_it_is_asked_for(tmp_path: Path) -> None:
    telemetry, exporter = collecting(with_content=True)
    async with a_modelled_core(tmp_path, [{"calls": [WRITE]}, {"text": CANARY}], telemetry=telemetry) as (
        core,
        _,
    ):
        await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

    told = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert CANARY in told
    assert "gen_ai.tool.call.arguments" in told


async def test_a_child_belongs_to_the_trace_of_its_parent(tmp_path: Path) -> None:
    telemetry, exporter = collecting()
    lead = "---\nname: lead\ndescription: Leads.\ntools: Task\nchargehand:\n  delegates: [writer]\n---\nYou lead.\n"
    order = {"name": "Agent", "arguments": {"prompt": "Part.", "subagent_type": "writer"}}
    script = [
        {"match": {"system_contains": "You lead"}, "turns": [{"calls": [order]}, {"text": "Done."}]},
        {"match": {"system_contains": "You write"}, "turns": [{"text": "My part is done."}]},
    ]
    async with a_modelled_core(tmp_path, script, telemetry=telemetry) as (core, _):
        await core.agents.publish(ME, lead)
        task = await given.a_task(core, "lead", {"prompt": "Lead."}, traceparent=TRACEPARENT)
        await given.ended(core, task)

    spans = exporter.get_finished_spans()
    assert {span.context.trace_id for span in spans if span.context} == {int(TRACE, 16)}
    first_lead = next(one for one in spans if one.name == "invoke_agent lead")
    child = next(one for one in spans if one.name == "invoke_agent writer")
    assert identity(child)[1] == identity(first_lead)[0]
    assert attributes(first_lead)["chargehand.outcome"] == "waiting"


async def test_without_an_incoming_trace_the_trees_id_names_it(tmp_path: Path) -> None:
    telemetry, exporter = collecting()
    async with a_modelled_core(tmp_path, [{"text": "Done."}], telemetry=telemetry) as (core, _):
        task = await given.a_task(core, "writer", {"prompt": "Go."}, traceparent="00-nonsense")
        await given.ended(core, task)

    assert {f"{one.context.trace_id:032x}" for one in exporter.get_finished_spans() if one.context} == {
        task.id.replace("-", "")
    }


async def test_without_traces_the_callers_trace_still_reaches_the_provider(tmp_path: Path) -> None:
    async with a_modelled_core(tmp_path, [{"text": "Done."}]) as (core, models):
        task = await given.a_task(core, "writer", {"prompt": "Go."}, traceparent=TRACEPARENT)
        await given.ended(core, task)
        await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

        assert [one.traceparent for one in models.log] == [TRACEPARENT, None]


async def test_what_fails_says_so_in_its_span(tmp_path: Path) -> None:
    telemetry, exporter = collecting()
    async with a_modelled_core(tmp_path, [{"fault": {"status": 401}}], telemetry=telemetry) as (core, _):
        await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

    errors = {one.name: attributes(one).get("error.type") for one in exporter.get_finished_spans()}
    assert errors == {"chat claude-test": "refused", "invoke_agent writer": "agent_error"}


async def test_runs_are_counted(tmp_path: Path) -> None:
    clock = given.TestClock()
    limited = {"calls": [WRITE, {"name": "Nope"}], "fault": {"status": 429, "times": 1}}
    turns = [limited, {"text": "Done.", "usage": {"input": 7, "output": 3}}]
    async with a_modelled_core(tmp_path, turns, clock=clock) as (core, _):
        task = await given.a_task(core, "writer", {"prompt": "Go."})
        await given.event(core, task, EventKind.WAITING)
        clock.advance(80)
        await given.ended(core, task)

        told = samples(core.telemetry.metrics.exposed([]))
    model = {"provider": "anthropic", "model": "claude-test"}
    assert told[key("chargehand_model_requests_total", **model, outcome="unavailable")] == 1
    assert told[key("chargehand_model_requests_total", **model, outcome="answered")] == 2
    assert told[key("chargehand_model_request_seconds_count", **model)] == 3
    assert told[key("chargehand_model_request_seconds_bucket", **model, le="+Inf")] == 3
    assert told[key("chargehand_model_tokens_total", **model, kind="output")] > 3
    assert told[key("chargehand_provider_waits_total", provider="anthropic")] == 1
    assert told[key("chargehand_tool_calls_total", tool="Write", outcome="done")] == 1
    assert told[key("chargehand_tool_calls_total", tool="unknown", outcome="failed")] == 1
    assert told[key("chargehand_attempts_started_total")] == 2
    assert told[key("chargehand_attempts_ended_total", outcome="waiting")] == 1


def key(name: str, **labels: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return name, tuple(sorted(labels.items()))


def samples(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        key(sample.name, **sample.labels): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_a_number_has_a_bounded_number_of_series() -> None:
    counter = Counter("c", "c", ("model",))
    for number in range(MAX_SERIES + 10):
        counter.add(f"model-{number}")

    assert len(counter.values) == MAX_SERIES + 1
    assert counter.values["other",] == 10


def test_costs_are_counted_in_dollars() -> None:
    telemetry = Telemetry(metrics=Metrics())
    telemetry.cost("anthropic", "m", 1_500_000_000)

    told = samples(telemetry.metrics.exposed([]))
    assert told[key("chargehand_model_cost_usd_total", provider="anthropic", model="m")] == 1.5


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        (TRACEPARENT, True),
        (None, False),
        ("", False),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", False),
        (TRACEPARENT.upper(), False),
        (TRACEPARENT + "\r\nx: y", False),
    ],
)
def test_only_a_trace_context_is_taken_for_one(text: str | None, is_valid: bool) -> None:
    assert (valid_traceparent(text) is not None) is is_valid


def test_traces_are_on_where_a_collector_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    assert type(open_traces("auto", {}, with_content=False)) is Traces
    assert type(open_traces("off", named, with_content=False)) is Traces
    assert open_traces("auto", named, with_content=False).is_on

    def missing(environment: object) -> TracerProvider:
        raise ImportError(str(environment))

    monkeypatch.setattr(traces, "_exporting_provider", missing)
    assert not open_traces("auto", named, with_content=False).is_on
    with pytest.raises(RuntimeMissing, match=r"chargehand\[telemetry\]"):
        open_traces("on", {}, with_content=False)
