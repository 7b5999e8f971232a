"""Watches one command's tree of processes and says when it oversteps memory or process limits.

The kernel's control group, where there is one, is joined shortly after the start: joining takes the kernel up
to 20 ms, longer than most commands run. Rule: the watch goes on, with or without a group.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field

from chargehand.tools.sandbox.base import EndedBy, SandboxLimits
from chargehand.tools.sandbox.cgroup import Group, GroupHome
from chargehand.tools.sandbox.scratch import Scratch
from chargehand.tools.sandbox.trees import Tree, new_tree

_TICK_SECONDS = 0.1
_MAX_JOIN_ROUNDS = 20


@dataclass(slots=True, kw_only=True)
class Guard:
    """The watch over one command. `spared` are its own helpers: they are counted neither way."""

    limits: SandboxLimits
    groups: GroupHome | None
    scratch: Scratch | None = None
    """Folders whose size nothing else bounds."""
    root_pid: int = 0
    first_look_seconds: float = 0.02
    spared: frozenset[int] = frozenset()
    tree: Tree = field(default_factory=new_tree)
    _group: Group | None = None
    _joining: asyncio.Task[None] | None = None

    async def overstepped(self) -> EndedBy:
        """Returns when a limit is overstepped, and not before."""
        await asyncio.sleep(self.first_look_seconds)
        while True:
            pids = self._tree()
            if self.tree.count_tasks(pids) > self.limits.processes:
                return EndedBy.PROCESSES
            if await self._has_too_much_memory(pids):
                return EndedBy.MEMORY
            if await self._has_too_much_scratch():
                return EndedBy.DISK
            if self.groups is not None and self._joining is None:
                self._joining = asyncio.create_task(asyncio.to_thread(self._join))
                await asyncio.shield(self._joining)
                continue  # what was born while the kernel was busy counts at once
            await asyncio.sleep(_TICK_SECONDS)

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel killed one of the tree's processes, seen after the end."""
        return self._group is not None and self._group.was_out_of_memory()

    async def close(self) -> None:
        """End what the kill did not reach, and give the group back."""
        self.tree.kill_strays()
        if self._joining is not None:
            await asyncio.wait({self._joining})
        if self._group is not None:
            await asyncio.to_thread(self._group.remove)

    def _tree(self) -> list[int]:
        return [pid for pid in self.tree.below(self.root_pid) if pid not in self.spared]

    async def _has_too_much_memory(self, pids: list[int]) -> bool:
        if self.ran_out_of_memory():
            return True
        if self.tree.resident_bytes(pids) <= self.limits.memory_bytes:
            return False
        return await asyncio.to_thread(self.tree.proportional_bytes, pids) > self.limits.memory_bytes

    async def _has_too_much_scratch(self) -> bool:
        if self.scratch is None:
            return False
        return await asyncio.to_thread(self.scratch.used_bytes) > self.limits.scratch_bytes

    def _join(self) -> None:
        """Move the whole tree in. What a process forks before it is moved is found in the next round."""
        if self.groups is None:
            return
        group = self.groups.make(memory_bytes=self.limits.memory_bytes, processes=self.limits.processes)
        self._group = group
        for _ in range(_MAX_JOIN_ROUNDS):
            missing = set(self._tree()) - group.members()
            if not missing:
                return
            for pid in missing:
                with contextlib.suppress(ProcessLookupError):
                    group.add(pid)
