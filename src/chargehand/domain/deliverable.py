"""What an agent promises to deliver, how that is checked, and what the checks found."""

from dataclasses import dataclass
from datetime import datetime

from chargehand.domain.values import JsonObject, JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One test of a deliverable.

    `run`: a shell command in the sandbox, in the workspace; exit code 0 passes. `json`: the file parses as
    JSON. `contains`: the file holds this text. Exactly one of the three is set.
    """

    name: str
    run: str | None = None
    json: bool = False
    contains: str | None = None
    timeout_seconds: float = 120.0

    def as_data(self) -> JsonObject:
        """The shape that the journal compares and that evidence shows."""
        data: JsonObject = {"name": self.name, "timeout_seconds": self.timeout_seconds}
        if self.run is not None:
            data["run"] = self.run
        if self.json:
            data["json"] = True
        if self.contains is not None:
            data["contains"] = self.contains
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A named output: a file or a folder of the workspace, acceptable when it exists and its checks pass."""

    name: str
    path: str
    description: str = ""
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one check found. `output` is the tail of what it printed."""

    deliverable: str
    check: str
    passed: bool
    output: str
    exit_code: int | None = None
    duration_seconds: float = 0.0

    def as_data(self) -> JsonObject:
        """The shape that is stored and sent."""
        return {
            "deliverable": self.deliverable,
            "check": self.check,
            "passed": self.passed,
            "output": self.output,
            "exit_code": self.exit_code,
            "duration_seconds": self.duration_seconds,
        }

    @staticmethod
    def from_data(data: dict[str, JsonValue]) -> "Evidence":
        """Read it back from a journaled step."""
        exit_code, duration = data.get("exit_code"), data.get("duration_seconds")
        return Evidence(
            deliverable=str(data["deliverable"]),
            check=str(data["check"]),
            passed=bool(data["passed"]),
            output=str(data["output"]),
            exit_code=exit_code if isinstance(exit_code, int) else None,
            duration_seconds=float(duration) if isinstance(duration, int | float) else 0.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredFile:
    """One file of a stored deliverable: its path inside it, its content's hash and its size."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliverable:
    """A stored deliverable: the bytes stand in the blob store under their hashes."""

    task_id: str
    name: str
    path: str
    is_folder: bool
    sha256: str
    size_bytes: int
    files: tuple[DeliveredFile, ...]
    evidence: tuple[Evidence, ...]
    stored_at: datetime
