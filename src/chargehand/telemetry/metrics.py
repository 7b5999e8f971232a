"""Numbers for Prometheus: counted as plain integers where things happen, put into its format when it asks.

Rule: a label's values are few and known (a status, an outcome, a configured model): no ids, no text from outside.
As a last guard a number has at most MAX_SERIES label sets; what comes then is counted as `other`.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

MAX_SERIES = 500
OTHER = "other"
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds for what the service itself answers."""
SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
"""Bounds for what models answer."""
CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


@dataclass(slots=True)
class Counter:
    """A number that only grows, by its labels."""

    name: str
    help: str
    labels: tuple[str, ...]
    values: dict[tuple[str, ...], float] = field(default_factory=dict[tuple[str, ...], float])

    def add(self, *labels: str, by: float = 1) -> None:
        """Count."""
        try:
            self.values[labels] += by
        except KeyError:
            key = labels if len(self.values) < MAX_SERIES else tuple(OTHER for _ in labels)
            self.values[key] = self.values.get(key, 0) + by


@dataclass(slots=True)
class Durations:
    """How long things took, by their labels: counts below each bound, and the sum."""

    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = SECONDS
    values: dict[tuple[str, ...], list[float]] = field(default_factory=dict[tuple[str, ...], list[float]])

    def add(self, *labels: str, seconds: float) -> None:
        """Count one."""
        counts = self.values.get(labels)
        if counts is None:
            key = labels if len(self.values) < MAX_SERIES else tuple(OTHER for _ in labels)
            counts = self.values.setdefault(key, [0.0] * (len(self.bounds) + 2))
        counts[bisect_left(self.bounds, seconds)] += 1
        counts[-1] += seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A number that goes up and down, read when Prometheus asks, by the values of its labels."""

    name: str
    help: str
    values: Mapping[tuple[str, ...], float]
    labels: tuple[str, ...] = ()


class Metrics:
    """All numbers of this process."""

    def __init__(self) -> None:
        self.attempts_started = Counter("chargehand_attempts_started", "Attempts that a worker began.", ())
        self.attempts_ended = Counter(
            "chargehand_attempts_ended", "Attempts that ended, by outcome.", ("outcome",)
        )
        self.attempts_failed = Counter(
            "chargehand_attempts_failed", "Attempts that failed their task or will be retried.", ("reason",)
        )
        self.attempts_lost = Counter(
            "chargehand_attempts_lost", "Attempts taken from workers that were silent for a lease.", ()
        )
        model = ("provider", "model")
        self.model_requests = Counter(
            "chargehand_model_requests", "Requests to models, by outcome.", (*model, "outcome")
        )
        self.model_seconds = Durations(
            "chargehand_model_request_seconds", "How long requests to models took.", model
        )
        self.model_tokens = Counter("chargehand_model_tokens", "Tokens of models' answers.", (*model, "kind"))
        self.model_usd = Counter("chargehand_model_cost_usd", "What models' answers cost.", model)
        self.provider_waits = Counter(
            "chargehand_provider_waits", "Waits for a provider that could not answer.", ("provider",)
        )
        self.tool_calls = Counter("chargehand_tool_calls", "Tool calls, by outcome.", ("tool", "outcome"))
        self.schedule_runs = Counter("chargehand_schedule_runs", "Due times of schedules.", ("outcome",))
        self.webhook_attempts = Counter(
            "chargehand_webhook_attempts", "Tries of webhooks' deliveries, by outcome.", ("outcome",)
        )
        self.hints = Counter(
            "chargehand_hints", "Wake-ups for the fleet's workers, by what became of them.", ("outcome",)
        )
        self.http_requests = Counter(
            "chargehand_http_requests", "HTTP requests.", ("method", "route", "status")
        )
        self.http_seconds = Durations(
            "chargehand_http_request_seconds",
            "How long it took until an answer began.",
            ("route",),
            REQUEST_SECONDS,
        )
        self.bus_messages = Counter(
            "chargehand_bus_messages", "What became of signals between processes.", ("bus", "outcome")
        )

    @property
    def counters(self) -> Sequence[Counter]:
        """Those that only grow."""
        return (
            self.attempts_started,
            self.attempts_ended,
            self.attempts_failed,
            self.attempts_lost,
            self.model_requests,
            self.model_tokens,
            self.model_usd,
            self.provider_waits,
            self.tool_calls,
            self.schedule_runs,
            self.webhook_attempts,
            self.hints,
            self.http_requests,
            self.bus_messages,
        )

    @property
    def durations(self) -> Sequence[Durations]:
        """Those that tell how long things took."""
        return (self.model_seconds, self.http_seconds)

    def exposed(self, gauges: Iterable[Gauge]) -> bytes:
        """Everything in Prometheus' text format, with the process's own memory, time and files where it tells them."""
        from prometheus_client import (  # noqa: PLC0415 - when first asked
            CollectorRegistry,
            ProcessCollector,
            generate_latest,
        )

        registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=registry)
        registry.register(_Collector(self, tuple(gauges)))
        return generate_latest(registry)


@dataclass(frozen=True, slots=True, eq=False)
class _Collector:
    metrics: Metrics
    gauges: Sequence[Gauge]

    def collect(self) -> "Iterable[Metric]":
        from prometheus_client.core import (  # noqa: PLC0415 - when first asked
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        for gauge in self.gauges:
            read = GaugeMetricFamily(gauge.name, gauge.help, labels=list(gauge.labels))
            for labels, value in gauge.values.items():
                read.add_metric(list(labels), value)
            yield read
        for counter in self.metrics.counters:
            family = CounterMetricFamily(counter.name, counter.help, labels=list(counter.labels))
            for labels, value in counter.values.items():
                family.add_metric(list(labels), value)
            yield family
        for took in self.metrics.durations:
            histogram = HistogramMetricFamily(took.name, took.help, labels=list(took.labels))
            for labels, counts in took.values.items():
                histogram.add_metric(list(labels), _buckets(took.bounds, counts), counts[-1])
            yield histogram


def _buckets(bounds: Sequence[float], counts: Sequence[float]) -> list[tuple[str, float]]:
    total = 0.0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=False):
        total += count
        buckets.append((bound, total))
    return buckets
