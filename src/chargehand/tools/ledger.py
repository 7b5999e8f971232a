"""What a task has seen of each file: the ground of read-before-edit and of noticing changes. And what it started.

Rule: the ledger learns from results alone, so that replaying a journal's results rebuilds it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What a file held at one moment. Content alone decides: a touched file is the same file."""

    size_bytes: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> "Stamp":
        """The stamp of a file with this content."""
        return cls(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    def details(self) -> dict[str, int | str]:
        """The stamp as a result carries it, and as `ReadLedger.learn` finds it again."""
        return {"bytes": self.size_bytes, "sha256": self.sha256}


@dataclass(slots=True, kw_only=True)
class ReadLedger:
    """The last stamp that one task has seen of each path.

    `enforced=False` lets files be overwritten unread: for playbooks, whose author knows what they replace.
    """

    enforced: bool = True
    _seen: dict[str, Stamp] = field(default_factory=dict[str, Stamp])
    _started: set[str] = field(default_factory=set[str])

    def learn(self, details: Mapping[str, object]) -> None:
        """Take note of a result that names a file and its stamp, or a command in the background."""
        shell_id = details.get("shell_id")
        if isinstance(shell_id, str):
            self._started.add(shell_id)
        path, size, digest = details.get("path"), details.get("bytes"), details.get("sha256")
        if isinstance(path, str) and isinstance(size, int) and isinstance(digest, str):
            self._seen[path] = Stamp(size_bytes=size, sha256=digest)

    def last_seen(self, path: str) -> Stamp | None:
        """The stamp of the path when the task last read or wrote it; None when it never did."""
        return self._seen.get(path)

    def has_started(self, shell_id: str) -> bool:
        """Whether this task, in any of its attempts, has had a command of this id in the background."""
        return shell_id in self._started
