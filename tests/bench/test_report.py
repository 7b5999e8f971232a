"""The page and the plot that a run writes."""

import importlib.util
import re
import xml.etree.ElementTree as ElementTree

import pytest

from bench.figures import Goal, Measure, Results, Verdict, judge
from bench.goals import GOALS, MEASURES
from bench.plot import drawing, lead, place
from bench.report import page

RATE = Measure(id="rate", title="tasks", unit="/s")
TEN_TIMES = Goal(
    title="tasks to those by hand",
    of=("rate", "ours"),
    to=("rate", "hand"),
    at="least",
    bound=10,
    why="A lock.",
)
NAMES = {"ours": "the service", "hand": "by hand", "absent": "another"}


def written(results: Results, goal: Goal = TEN_TIMES) -> str:
    return page(results, [RATE], [goal], NAMES, {"Run": "today"})


def test_the_page_has_a_row_for_each_goal_and_each_measure() -> None:
    results = Results()
    results.add("rate", "ours", 1000, 1200, 1100)
    results.add("rate", "hand", 100, 100, 100)

    text = written(results)

    assert "| tasks to those by hand | ≥ 10 × | 11 × (10–12) | met |" in text
    assert "|  | `ours` | `hand` |" in text
    assert "| tasks [/s] | 1,100 (1,000–1,200) | 100 |" in text
    assert "Short of the goal" not in text


def test_the_page_names_what_is_measured_by_itself_and_how_it_is_run() -> None:
    told = written(Results()).partition("## Measured by themselves")[2]

    named = set(re.findall(r"`python -m (bench\.\w+)`", told))
    assert named >= {"bench.guards", "bench.abuse"}
    assert [name for name in (*named, "bench.sandbox") if importlib.util.find_spec(name) is None] == []


def test_a_goal_that_is_missed_is_explained() -> None:
    results = Results()
    results.add("rate", "ours", 500)
    results.add("rate", "hand", 100)

    assert "Short of the goal:\n\n- tasks to those by hand: A lock." in written(results)


def test_what_was_left_out_is_told_with_its_reason() -> None:
    results = Results()
    results.left_out["hand"] = "no Redis: the program redis-server is not on PATH\nmore"

    text = written(results)

    assert "- hand: no Redis: the program redis-server is not on PATH" in text
    assert "| tasks to those by hand | ≥ 10 × | – | not measured |" in text


def test_a_store_without_a_server_has_a_table_of_its_own() -> None:
    results = Results()
    results.add("rate", "ours", 5)
    results.add("rate", "postgresql", 7)

    assert "|  | `postgresql` |\n| --- | --- |\n| tasks [/s] | 7 |" in written(results)


def test_the_plot_is_xml_with_a_bar_for_each_figure_that_is_known() -> None:
    results = Results()
    results.add("rate", "ours", 1000)
    results.add("rate", "hand", 100)
    unknown = Goal(title="a < b & c", of=("rate", "nobody"), at="least", bound=1)

    svg = drawing([judge(TEN_TIMES, results), judge(unknown, results)])

    bars = ElementTree.fromstring(svg).findall(".//{http://www.w3.org/2000/svg}rect")  # noqa: S314 - our own drawing
    assert len(bars) == 2  # the ground and one bar


def test_titles_are_escaped_in_the_plot() -> None:
    goal = Goal(title="a < b & c", of=("rate", "ours"), at="least", bound=1)

    svg = drawing([Verdict(goal, 2.0, None)])

    assert "a &lt; b &amp; c" in svg


@pytest.mark.parametrize(("at", "found", "times"), [("least", 20, 2), ("most", 5, 2), ("least", 5, 0.5)])
def test_a_bar_shows_how_many_times_better_than_the_goal(at: str, found: float, times: float) -> None:
    goal = Goal(title="any", of=("rate", "ours"), at="least" if at == "least" else "most", bound=10)

    assert lead(Verdict(goal, found, None)) == times
    assert (place(times) > place(1)) == (times > 1)


def test_bars_stay_on_the_paper() -> None:
    assert place(0) == place(1e-9) < place(1) < place(1e9) == place(1e12)


def test_every_goal_is_about_a_measure_that_is_taken() -> None:
    known = {measure.id for measure in MEASURES}

    assert {key[0] for goal in GOALS for key in (goal.of, goal.to) if key} <= known
    assert len(known) == len(MEASURES)
