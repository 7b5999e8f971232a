"""What the holders of one folder share: tasks of a tree work in the same workspace, each with a hold of its own.

Rule: one lock and one count per folder in this process. Between processes only the compare-and-swap of each write
stands guard.
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from chargehand.tools.entries import Usage


@dataclass(slots=True, weakref_slot=True)
class SharedHold:
    """The lock under which files are replaced, and what the folder is known to hold (None: not measured)."""

    writing: threading.RLock = field(default_factory=threading.RLock)
    usage: Usage | None = None


# Not per service but per process, because the folder is: whoever opens it must meet the same lock.
_holds: WeakValueDictionary[str, SharedHold] = WeakValueDictionary()
_opening = threading.Lock()


def shared_hold(folder: Path) -> SharedHold:
    """What all holders of this (resolved) folder share; it lives as long as one of them does."""
    with _opening:
        hold = _holds.get(str(folder))
        if hold is None:
            hold = _holds[str(folder)] = SharedHold()
        return hold
