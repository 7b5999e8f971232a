"""What was measured, and how it stands against the goals. No I/O.

Rule: a goal is judged by medians; where it is a ratio, of two that were measured in the same run.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Something that is measured of each contestant."""

    id: str
    title: str
    unit: str
    more_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Figure:
    """The samples of one measure for one contestant."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.samples), max(self.samples)


Key = tuple[str, str]
"""(id of a measure, name of a contestant)."""


@dataclass(slots=True)
class Results:
    """Everything that a run found."""

    samples: dict[Key, list[float]] = field(default_factory=dict[Key, list[float]])
    left_out: dict[str, str] = field(default_factory=dict[str, str])
    """Contestants, or parts of the run, that did not take place: the reason."""

    def add(self, measure: str, contestant: str, *values: float) -> None:
        self.samples.setdefault((measure, contestant), []).extend(values)

    def figure(self, key: Key) -> Figure | None:
        found = self.samples.get(key)
        return Figure(tuple(found)) if found else None


class Standing(StrEnum):
    """How a goal stands."""

    MET = "met"
    SHORT = "short"
    UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound on one figure, or on its ratio to another."""

    title: str
    of: Key
    to: Key | None = None
    at: Literal["least", "most"]
    bound: float
    unit: str = "×"
    why: str = ""
    """What is known of the reason, for the case that it is missed."""

    @property
    def wanted(self) -> str:
        return f"{'≥' if self.at == 'least' else '≤'} {number(self.bound)} {self.unit}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A goal and what came of it."""

    goal: Goal
    found: float | None
    spread: tuple[float, float] | None

    @property
    def standing(self) -> Standing:
        if self.found is None:
            return Standing.UNKNOWN
        good = self.found >= self.goal.bound if self.goal.at == "least" else self.found <= self.goal.bound
        return Standing.MET if good else Standing.SHORT


def judge(goal: Goal, results: Results) -> Verdict:
    """The ratio of the medians; its spread over the rounds, where both were measured in the same rounds."""
    of = results.figure(goal.of)
    if goal.to is None:
        return Verdict(goal, of.median if of else None, of.spread if of else None)
    to = results.figure(goal.to)
    if of is None or to is None or to.median == 0:
        return Verdict(goal, None, None)
    spread = None
    if len(of.samples) == len(to.samples) and all(to.samples):
        ratios = [mine / other for mine, other in zip(of.samples, to.samples, strict=True)]
        spread = (min(ratios), max(ratios))
    return Verdict(goal, of.median / to.median, spread)


def number(value: float) -> str:
    """As many digits as say something: 12,345, 123, 12.3, 1.23."""
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def as_data(
    results: Results, measures: Sequence[Measure], goals: Sequence[Goal], about: Mapping[str, object]
) -> dict[str, object]:
    """The run as JSON."""
    found: dict[str, object] = {}
    for measure in measures:
        contestants = {
            name: {
                "median": figure.median,
                "min": figure.spread[0],
                "max": figure.spread[1],
                "samples": samples,
            }
            for (id_, name), samples in results.samples.items()
            if id_ == measure.id and (figure := Figure(tuple(samples)))
        }
        if contestants:
            found[measure.id] = {"title": measure.title, "unit": measure.unit, "contestants": contestants}
    return {
        "about": dict(about),
        "measures": found,
        "goals": [
            {"title": goal.title, "wanted": goal.wanted, "found": verdict.found, "is": verdict.standing.value}
            for goal in goals
            for verdict in (judge(goal, results),)
        ],
        "left_out": results.left_out,
    }
