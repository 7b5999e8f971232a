"""The `chargehand:` block of a definition: runtime, deliverables with checks, delegates, budget, retries.

Unknown keys are refused here (unlike in the rest of the front matter, which other products own): a misspelt
`deliverables` would otherwise promise nothing.
"""

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeVar, cast

from chargehand.domain.budget import Budget
from chargehand.domain.deliverable import Check, Promise
from chargehand.domain.policy import PolicyRule
from chargehand.domain.policy_file import read_rules, rule_as_data
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import Finding, InvalidInput

_Default = TypeVar("_Default", float, None)

DELIVERABLE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._-]{0,126}[A-Za-z0-9])?")
"""It is a part of a URL and of a path in an archive."""

RETRY_MAX_SECONDS = 3600.0
"""The longest pause before another try, where a definition says nothing."""

RUNTIMES = ("model", "playbook", "function", "command")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What Claude Code's format does not know."""

    runtime: str = "model"
    entry: str | None = None
    """The registered name of the playbook or function."""
    command: tuple[str, ...] = ()
    takes_briefs: bool = False
    """A playbook's: a task whose data has a `prompt` is carried out by the model, with the body as its prompt."""
    delegates: tuple[str, ...] = ()
    fallback_models: tuple[str, ...] = ()
    """Asked in order when the agent's own model finally fails; none: the operator's."""
    deliverables: tuple[Promise, ...] = ()
    repair_rounds: int = 1
    attempts: int = 1
    retry_seconds: float = 5.0
    retry_max_seconds: float | None = None
    """The longest pause before another try; None: an hour, or `retry_seconds` where that is more."""
    concurrency: int | None = None
    """How many of the agent's tasks may run at once, for one tenant; None: as many as there is room for."""
    timeout_seconds: float | None = None
    budget: Budget = field(default_factory=Budget)
    policy: tuple[PolicyRule, ...] = ()
    """What the definition itself wants asked or denied; it never makes the operator's policy milder."""
    output_schema: JsonObject | None = None
    """The JSON schema of the agent's result."""

    def longest_pause(self, tries: int) -> float:
        """The most seconds before the next try, after so many that failed: each time twice as many, up to a limit."""
        most = self.retry_max_seconds
        return min(
            self.retry_seconds * 2**tries,
            max(RETRY_MAX_SECONDS, self.retry_seconds) if most is None else most,
        )


def read_block(value: object, findings: list[Finding]) -> Block:
    """Read the block; what is wrong goes to `findings` and leaves the default in its place."""
    if value is None:
        return Block()
    if not isinstance(value, dict):
        findings.append(Finding(where="chargehand", message="is not a block of `key: value` lines"))
        return Block()
    reader = _Reader(cast("dict[str, object]", value), findings)
    reader.refuse_unknown(
        "runtime", "playbook", "function", "command", "takes_briefs", "delegates", "fallback_models", "deliverables",
        "repair_rounds", "attempts", "retry_seconds", "retry_max_seconds", "concurrency", "timeout_seconds", "budget",
        "output_schema", "policy",
    )  # fmt: skip
    runtime = reader.choice("runtime", RUNTIMES, "model")
    return Block(
        runtime=runtime,
        entry=reader.entry(runtime),
        command=reader.texts("command", required=runtime == "command"),
        takes_briefs=reader.flag("takes_briefs", only_for="playbook", runtime=runtime),
        delegates=reader.texts("delegates"),
        fallback_models=reader.texts("fallback_models"),
        deliverables=reader.promises(),
        repair_rounds=reader.whole("repair_rounds", 1, at_least=0, at_most=5),
        attempts=reader.whole("attempts", 1, at_least=1, at_most=20),
        retry_seconds=reader.number("retry_seconds", 5.0, at_least=0, at_most=86_400),
        retry_max_seconds=reader.number("retry_max_seconds", None, at_least=0, at_most=86_400),
        concurrency=reader.count("concurrency", at_least=1, at_most=10_000),
        timeout_seconds=reader.number("timeout_seconds", None, at_least=1, at_most=30 * 86_400),
        budget=reader.budget(),
        policy=read_rules(reader.fields.get("policy"), "chargehand.policy", findings, by="its definition"),
        output_schema=reader.schema(),
    )


class _Reader:
    """Takes values out of one mapping and notes what is wrong with them."""

    def __init__(self, fields: dict[str, object], findings: list[Finding], where: str = "chargehand") -> None:
        self.fields = fields
        self.findings = findings
        self.where = where

    def note(self, key: str, message: str, hint: str = "") -> None:
        self.findings.append(Finding(where=f"{self.where}.{key}", message=message, hint=hint))

    def refuse_unknown(self, *known: str) -> None:
        for key in self.fields:
            if key not in known:
                close = get_close_matches(str(key), known, 1)
                hint = f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(known)
                self.note(str(key), "is not a known key", hint)

    def choice(self, key: str, choices: tuple[str, ...], default: str) -> str:
        value = self.fields.get(key, default)
        if value in choices:
            return str(value)
        self.note(key, f"cannot be {value!r}", "one of: " + ", ".join(choices))
        return default

    def entry(self, runtime: str) -> str | None:
        if runtime not in ("playbook", "function"):
            return None
        value = self.fields.get(runtime)
        if isinstance(value, str) and value:
            return value
        self.note(runtime, "is missing", f"`{runtime}: NAME` says which registered {runtime} runs")
        return None

    def texts(self, key: str, *, required: bool = False) -> tuple[str, ...]:
        value = self.fields.get(key)
        if value is None and not required:
            return ()
        if isinstance(value, str) and value:
            return (value,)
        if isinstance(value, list) and value:
            items = cast("list[object]", value)
            if all(isinstance(item, str) and item for item in items):
                return tuple(str(item) for item in items)
        self.note(key, "is missing" if value is None else "is not a list of texts", f"{key}: [a, b]")
        return ()

    def flag(self, key: str, *, only_for: str, runtime: str) -> bool:
        value = self.fields.get(key, False)
        if not isinstance(value, bool):
            self.note(key, "is not true or false")
        elif value and runtime != only_for:
            self.note(key, f"has a meaning only with `runtime: {only_for}`")
        return value is True and runtime == only_for

    def number(self, key: str, default: _Default, *, at_least: float, at_most: float) -> float | _Default:
        value = self.fields.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not at_least <= value <= at_most:
            self.note(key, f"is not a number from {at_least} to {at_most}")
            return default
        return float(value)

    def whole(self, key: str, default: int, *, at_least: int, at_most: int) -> int:
        found = self.number(key, float(default), at_least=at_least, at_most=at_most)
        if found == int(found):
            return int(found)
        self.note(key, f"is not a whole number from {at_least} to {at_most}")
        return default

    def count(self, key: str, *, at_least: int, at_most: int) -> int | None:
        """A whole number that need not be there."""
        return (
            None
            if self.fields.get(key) is None
            else self.whole(key, at_least, at_least=at_least, at_most=at_most)
        )

    def budget(self) -> Budget:
        value = self.fields.get("budget", {})
        if not isinstance(value, dict):
            self.note("budget", "is not a block of `limit: number` lines")
            return Budget()
        try:
            return Budget.from_data(cast("JsonObject", value))
        except InvalidInput as error:
            self.note("budget", error.message)
            return Budget()

    def schema(self) -> JsonObject | None:
        value = self.fields.get("output_schema")
        if value is None or isinstance(value, dict):
            return cast("JsonObject | None", value)
        self.note("output_schema", "is not a JSON schema", "output_schema: {type: object, properties: {…}}")
        return None

    def promises(self) -> tuple[Promise, ...]:
        value = self.fields.get("deliverables", [])
        if not isinstance(value, list):
            self.note("deliverables", "is not a list")
            return ()
        promises = [self._promise(index, item) for index, item in enumerate(cast("list[object]", value))]
        names = [promise.name for promise in promises if promise]
        for name in {name for name in names if names.count(name) > 1}:
            self.note("deliverables", f"two deliverables are named {name!r}")
        return tuple(promise for promise in promises if promise)

    def _promise(self, index: int, value: object) -> Promise | None:
        reader = self._nested(f"deliverables[{index}]", value, "- name: …\n  path: …")
        if reader is None:
            return None
        reader.refuse_unknown("name", "path", "description", "checks")
        name, path = reader.text("name"), reader.inside("path")
        if name and not DELIVERABLE_NAME.fullmatch(name):
            reader.note("name", f"cannot be {name[:64]!r}", "1 to 128 letters, digits, spaces, . _ -")
        checks = reader.fields.get("checks", [])
        if not isinstance(checks, list):
            reader.note("checks", "is not a list")
            checks = []
        made = [reader.check(position, check) for position, check in enumerate(cast("list[object]", checks))]
        description = reader.fields.get("description", "")
        return Promise(
            name=name, path=path, description=str(description), checks=tuple(check for check in made if check)
        )

    def check(self, index: int, value: object) -> Check | None:
        reader = self._nested(f"checks[{index}]", value, "- run: pytest -q")
        if reader is None:
            return None
        reader.refuse_unknown("name", "run", "json", "contains", "timeout_seconds")
        kinds = [kind for kind in ("run", "json", "contains") if reader.fields.get(kind) not in (None, False)]
        if len(kinds) != 1:
            reader.note("run", "exactly one of run, json, contains says what is checked")
            return None
        run, contains = reader.fields.get("run"), reader.fields.get("contains")
        return Check(
            name=str(reader.fields.get("name") or run or contains or "is JSON"),
            run=None if run is None else str(run),
            json=kinds == ["json"],
            contains=None if contains is None else str(contains),
            timeout_seconds=reader.number("timeout_seconds", 120.0, at_least=1, at_most=3600),
        )

    def text(self, key: str) -> str:
        value = self.fields.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        self.note(key, "is missing" if value is None else "is not text")
        return ""

    def inside(self, key: str) -> str:
        """A path that stays in the workspace on every platform."""
        path = self.text(key)
        parts = path.split("/")
        if "\\" in path or ":" in path or ".." in parts or (path and "" in parts[:-1]):
            self.note(
                key, f"{path!r} leaves the workspace or is no plain path", "write it like out/report.json"
            )
        return path

    def _nested(self, key: str, value: object, example: str) -> "_Reader | None":
        if isinstance(value, dict):
            return _Reader(cast("dict[str, object]", value), self.findings, f"{self.where}.{key}")
        self.note(key, "is not a block", f"write: {example}")
        return None


def block_as_data(block: Block) -> JsonObject:
    """What the API shows of a block."""
    promises: list[JsonValue] = [
        {
            "name": promise.name,
            "path": promise.path,
            "description": promise.description,
            "checks": [check.as_data() for check in promise.checks],
        }
        for promise in block.deliverables
    ]
    return {
        "runtime": block.runtime,
        "entry": block.entry,
        "command": list(block.command),
        "takes_briefs": block.takes_briefs,
        "delegates": list(block.delegates),
        "fallback_models": list(block.fallback_models),
        "deliverables": promises,
        "repair_rounds": block.repair_rounds,
        "attempts": block.attempts,
        "retry_seconds": block.retry_seconds,
        "retry_max_seconds": block.retry_max_seconds,
        "concurrency": block.concurrency,
        "timeout_seconds": block.timeout_seconds,
        "budget": block.budget.as_data(),
        "policy": [rule_as_data(rule) for rule in block.policy],
        "output_schema": block.output_schema,
    }
