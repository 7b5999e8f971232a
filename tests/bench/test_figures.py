"""Ratios and verdicts: medians of the same run, and nothing said of what was not measured."""

from bench.figures import Goal, Measure, Results, Standing, as_data, judge, number

AT_LEAST = Goal(title="ten times", of=("rate", "ours"), to=("rate", "theirs"), at="least", bound=10)
AT_MOST = Goal(title="a fifth", of=("wait", "ours"), to=("wait", "theirs"), at="most", bound=0.2)


def test_a_ratio_is_that_of_the_medians_and_its_spread_that_of_the_rounds() -> None:
    results = Results()
    results.add("rate", "ours", 1000, 3000, 2000)
    results.add("rate", "theirs", 100, 100, 400)

    verdict = judge(AT_LEAST, results)

    assert verdict.found == 20
    assert verdict.spread == (5, 30)
    assert verdict.standing is Standing.MET


def test_a_ratio_below_what_is_wanted_falls_short() -> None:
    results = Results()
    results.add("rate", "ours", 999)
    results.add("rate", "theirs", 100)

    assert judge(AT_LEAST, results).standing is Standing.SHORT


def test_where_less_is_better_the_bound_holds_from_above() -> None:
    results = Results()
    results.add("wait", "ours", 2)
    results.add("wait", "theirs", 10)
    assert judge(AT_MOST, results).standing is Standing.MET

    results.add("wait", "ours", 3, 3)

    assert judge(AT_MOST, results).standing is Standing.SHORT


def test_what_nobody_measured_is_neither_met_nor_short() -> None:
    results = Results()
    results.add("rate", "ours", 1000)

    verdict = judge(AT_LEAST, results)

    assert verdict.found is None
    assert verdict.standing is Standing.UNKNOWN


def test_a_figure_beside_which_the_other_is_zero_has_no_ratio() -> None:
    results = Results()
    results.add("rate", "ours", 1000)
    results.add("rate", "theirs", 0)

    assert judge(AT_LEAST, results).standing is Standing.UNKNOWN


def test_a_bound_on_a_figure_itself_needs_no_other() -> None:
    results = Results()
    results.add("memory", "ours", 100, 130, 110)

    verdict = judge(Goal(title="memory", of=("memory", "ours"), at="most", bound=120, unit="MB"), results)

    assert (verdict.found, verdict.spread) == (110, (100, 130))
    assert verdict.goal.wanted == "≤ 120 MB"
    assert verdict.standing is Standing.MET


def test_numbers_have_the_digits_that_say_something() -> None:
    assert [number(value) for value in (0, 0.123, 1.5, 12.34, 123.4, 12345.6)] == [
        "0",
        "0.12",
        "1.5",
        "12.3",
        "123",
        "12,346",
    ]


def test_the_data_hold_every_sample_and_what_was_left_out() -> None:
    results = Results()
    results.add("rate", "ours", 1, 2, 9)
    results.left_out["theirs"] = "no Redis"

    data = as_data(results, [Measure(id="rate", title="rate", unit="/s")], [AT_LEAST], {"Run": "now"})

    assert data["measures"] == {
        "rate": {
            "title": "rate",
            "unit": "/s",
            "contestants": {"ours": {"median": 2, "min": 1, "max": 9, "samples": [1, 2, 9]}},
        }
    }
    assert data["goals"] == [{"title": "ten times", "wanted": "≥ 10 ×", "found": None, "is": "not measured"}]
    assert data["left_out"] == {"theirs": "no Redis"}
