"""Whose turn it is: the rule by which free slots are shared out among what is due.

A lane holds the tasks of one tenant, agent and priority; in it the one that is due longest is first. A slot goes to
the tenant with the fewest running tasks (so each gets the same as long as it wants as much), of several such to the one
that has waited longest since it was given one, and in that tenant to the task whose due time, less what its priority
is worth, is the earliest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """How many tasks may run at once, None: any number; and what a point of priority is worth."""

    whole: int | None = None
    tenant: int | None = None
    ageing_seconds: float = 60.0
    """So much waiting weighs as much as one point of priority: whatever waits comes to its turn."""
    of_tenant: Mapping[str, int] = field(default_factory=dict[str, int])
    """Of those tenants that may have another number of tasks run than `tenant` says."""

    def most_of(self, tenant: str) -> int | None:
        """How many of a tenant's tasks may run at once."""
        return self.of_tenant.get(tenant, self.tenant)


@dataclass(frozen=True, slots=True, order=True)
class Lane:
    """Tasks of one agent with one priority for one tenant."""

    tenant: str
    agent_id: str
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A lane in which something is due."""

    lane: Lane
    due: int
    """Since when its first task is, in microseconds since 1970."""
    most_running: int | None
    """How many tasks of its agent may run at once."""


class Turns:
    """Shares out slots, one at a time. What runs is counted as they are given.

    Since when a lane's later tasks are due is not known at first, only that it is no earlier than the one before:
    `correct` says it when such a lane is `next`.
    """

    def __init__(
        self,
        heads: Sequence[Head],
        running: Mapping[tuple[str, str], int],
        limits: Concurrency,
        served: dict[str, int] | None = None,
    ) -> None:
        """`served`: when each tenant was last given a slot, as a count of slots; kept up as they are given."""
        self._limits = limits
        self.is_held_back = False
        """Whether `next` has passed over something that is due because of a limit."""
        self._served = served if served is not None else {}
        self._slots_given = max(self._served.values(), default=0)
        self._worth = round(limits.ageing_seconds * 1_000_000)
        self._most = {head.lane: head.most_running for head in heads}
        self._running = dict(running)
        self._of_tenant: dict[str, int] = {}
        for (tenant, _), count in running.items():
            self._of_tenant[tenant] = self._of_tenant.get(tenant, 0) + count
        # The lanes of each tenant and the tenants, each as a heap: who is first stands at 0.
        self._lanes: dict[str, list[tuple[int, Lane]]] = {}
        for head in heads:
            self._lanes.setdefault(head.lane.tenant, []).append((self._order(head.lane, head.due), head.lane))
        for lanes in self._lanes.values():
            heapify(lanes)
        self._tenants = [self._place(tenant) for tenant in self._lanes]
        heapify(self._tenants)

    def next(self) -> Lane | None:
        """The lane whose turn it is; None when nobody may begin anything more."""
        # Nothing is summed up for each slot where there is no such limit.
        if self._limits.whole is not None and sum(self._of_tenant.values()) >= self._limits.whole:
            self.is_held_back = bool(self._tenants)
            return None
        while self._tenants:
            tenant = self._tenants[0][3]
            if _is_full(self._of_tenant.get(tenant, 0), self._limits.most_of(tenant)):
                self.is_held_back = True
                heappop(self._tenants)
                continue
            lane = self._lanes[tenant][0][1]
            if not _is_full(self._running.get((tenant, lane.agent_id), 0), self._most[lane]):
                return lane
            self.is_held_back = True
            self._drop(lane)
        return None

    def begin(self, lane: Lane) -> None:
        """The slot goes to the lane that is `next`."""
        agent = (lane.tenant, lane.agent_id)
        self._running[agent] = self._running.get(agent, 0) + 1
        self._of_tenant[lane.tenant] = self._of_tenant.get(lane.tenant, 0) + 1
        self._slots_given += 1
        self._served[lane.tenant] = self._slots_given
        heapreplace(self._tenants, self._place(lane.tenant))

    def correct(self, lane: Lane, due: int | None) -> None:
        """Since when the first task that is left in the lane that is `next` is due; None: nothing is left."""
        if due is None:
            self._drop(lane)
            return
        heapreplace(self._lanes[lane.tenant], (self._order(lane, due), lane))
        heapreplace(self._tenants, self._place(lane.tenant))

    def _drop(self, lane: Lane) -> None:
        heappop(self._lanes[lane.tenant])
        if self._lanes[lane.tenant]:
            heapreplace(self._tenants, self._place(lane.tenant))
        else:
            heappop(self._tenants)

    def _place(self, tenant: str) -> tuple[int, int, int, str]:
        running, served = self._of_tenant.get(tenant, 0), self._served.get(tenant, 0)
        return (running, served, self._lanes[tenant][0][0], tenant)

    def _order(self, lane: Lane, due: int) -> int:
        return due - lane.priority * self._worth


def _is_full(running: int, most: int | None) -> bool:
    return most is not None and running >= most
