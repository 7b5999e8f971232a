"""Whose turn it is, slot by slot."""

from collections import Counter

from chargehand.domain.fairness import Concurrency, Head, Lane, Turns

MINUTE = 60_000_000
NO_LIMITS = Concurrency()


def head(tenant: str, due: int, *, agent: str = "a", priority: int = 0, most: int | None = None) -> Head:
    return Head(lane=Lane(tenant, agent, priority), due=due, most_running=most)


def given_out(turns: Turns, slots: int) -> list[Lane]:
    """The lanes that slots go to when none of them runs out, and each task is due as long as the one before."""
    lanes: list[Lane] = []
    while len(lanes) < slots and (lane := turns.next()):
        turns.begin(lane)
        lanes.append(lane)
    return lanes


def test_the_tenant_with_the_fewest_running_tasks_is_first() -> None:
    turns = Turns([head("busy", 1), head("idle", 9)], {("busy", "a"): 2, ("busy", "b"): 1}, NO_LIMITS)

    assert [lane.tenant for lane in given_out(turns, 4)] == ["idle", "idle", "idle", "busy"]


def test_tenants_that_want_much_get_the_same() -> None:
    turns = Turns([head(name, due) for due, name in enumerate("abc")], {}, NO_LIMITS)

    assert Counter(lane.tenant for lane in given_out(turns, 30)) == {"a": 10, "b": 10, "c": 10}


def test_within_a_tenant_a_point_of_priority_outweighs_a_minute_and_no_more() -> None:
    waits = head("t", 0)
    just_before = head("t", MINUTE - 1, priority=1, agent="before")
    just_after = head("t", MINUTE + 1, priority=1, agent="after")

    turns = Turns([just_after, waits, just_before], {}, NO_LIMITS)

    first = turns.next()
    assert first == just_before.lane
    turns.correct(just_before.lane, None)
    assert turns.next() == waits.lane


def test_what_a_point_of_priority_is_worth_can_be_set() -> None:
    heads = [head("t", 0), head("t", 10 * MINUTE, priority=1)]

    assert Turns(heads, {}, Concurrency(ageing_seconds=601)).next() == heads[1].lane
    assert Turns(heads, {}, Concurrency(ageing_seconds=0)).next() == heads[0].lane


def test_a_lane_whose_next_task_is_due_later_gives_way() -> None:
    turns = Turns([head("t", 1, agent="a"), head("t", 5, agent="b")], {}, NO_LIMITS)
    turns.begin(Lane("t", "a", 0))

    turns.correct(Lane("t", "a", 0), 9)

    assert turns.next() == Lane("t", "b", 0)


def test_no_limit_is_passed_and_none_keeps_others_waiting() -> None:
    heads = [head("a", 0, agent="slow", most=2), head("a", 1, agent="free"), head("b", 2)]

    by_agent = Turns(heads, {("a", "slow"): 1}, NO_LIMITS)
    by_tenant = Turns(heads, {("a", "slow"): 1}, Concurrency(tenant=2))
    by_all = Turns(heads, {("a", "slow"): 1}, Concurrency(whole=3))

    assert Counter(lane.agent_id for lane in given_out(by_agent, 20))["slow"] == 1
    assert Counter(lane.tenant for lane in given_out(by_tenant, 20)) == {"a": 1, "b": 2}
    assert len(given_out(by_all, 20)) == 2


def test_nothing_begins_where_a_limit_is_reached_already() -> None:
    heads = [head("a", 0, most=1)]

    for limits, running in [
        (Concurrency(whole=1), {("b", "x"): 1}),
        (Concurrency(tenant=1), {("a", "x"): 1}),
        (NO_LIMITS, {("a", "a"): 1}),
    ]:
        assert Turns(heads, running, limits).next() is None
