"""The script of a model server: conversations, their turns, and what goes wrong in them.

Rule: which turn is said depends on the request alone, so a script stays right when the asking process is killed
and asks again, and when many conversations go on at once.
"""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from chargehand.errors import Finding, InvalidInput
from chargehand.testkit.dialect import Asked

MAX_HUGE_BYTES = 1 << 30
_BESIDE = {"message", "retry_after", "retry_after_as_date", "times"}
"""What says more of a fault and is none."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Match(_Part):
    """Which requests a conversation is for; what is not given matches everything."""

    model: str | None = None
    system_contains: str | None = None
    prompt_contains: str | None = None

    def fits(self, asked: Asked) -> bool:
        """Whether the request is of this conversation. The prompt is the first message of the user."""
        return (
            (self.model is None or fnmatchcase(asked.model, self.model))
            and (self.system_contains is None or self.system_contains in asked.system)
            and (self.prompt_contains is None or self.prompt_contains in asked.prompt)
        )


class CallLine(_Part):
    """A tool call that the model makes."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]{0,127}$")]
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])


class UsageLine(_Part):
    """The tokens that the answer says it cost."""

    input: Annotated[int, Field(ge=0)]
    output: Annotated[int, Field(ge=0)]


class Fault(_Part):
    """What goes wrong instead of, or in the middle of, the answer: exactly one thing."""

    status: Annotated[int, Field(ge=400, le=599)] | None = None
    message: str | None = None
    hang_before: bool = False
    hang_midstream: bool = False
    cut_midstream: bool = False
    bad_json_arguments: bool = False
    huge_body_bytes: Annotated[int, Field(ge=1, le=MAX_HUGE_BYTES)] | None = None
    endless: bool = False
    gzip_bomb_bytes: Annotated[int, Field(ge=1, le=MAX_HUGE_BYTES)] | None = None
    drip_seconds: Annotated[float, Field(gt=0, le=60, strict=False)] | None = None
    garbage: bool = False
    other_schema: bool = False
    other_type: bool = False
    redirect: bool = False
    empty: bool = False
    retry_after: Annotated[float, Field(ge=0, strict=False)] | None = None
    retry_after_as_date: bool = False
    times: Annotated[int, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> "Fault":
        if len(self._kinds()) != 1:
            kinds = [name for name in type(self).model_fields if name not in _BESIDE]
            raise ValueError(f"a fault is exactly one of {', '.join(kinds)}")
        if self.retry_after is not None and self.status is None:
            raise ValueError("retry_after belongs to a status")
        if self.message is not None and self.status is None:
            raise ValueError("message belongs to a status")
        if self.retry_after_as_date and self.retry_after is None:
            raise ValueError("retry_after_as_date says how retry_after is written")
        return self

    def _kinds(self) -> list[str]:
        set_to = self.model_dump(exclude=_BESIDE)
        return [name for name, value in set_to.items() if value not in {None, False}]

    @property
    def kind(self) -> str:
        """The field that is set."""
        return self._kinds()[0]


class Turn(_Part):
    """One answer of the model."""

    text: str | None = None
    thinking: str | None = None
    calls: tuple[CallLine, ...] = Field(default=(), strict=False)
    usage: UsageLine | None = None
    fault: Fault | None = None
    delay_seconds: Annotated[float, Field(ge=0, le=3600, strict=False)] = 0
    stream_seconds: Annotated[float, Field(ge=0, le=3600, strict=False)] = 0

    @model_validator(mode="after")
    def _says_something(self) -> "Turn":
        if not self._has_content() and self.fault is None:
            raise ValueError("a turn has a text, thinking, calls or a fault")
        if self.fault is not None and self.fault.times is not None and not self._has_content():
            raise ValueError(
                "after the times of a fault the turn is said: it needs a text, thinking or calls"
            )
        if self.fault is not None and self.fault.bad_json_arguments and not self.calls:
            raise ValueError("bad_json_arguments needs a turn with calls")
        return self

    def _has_content(self) -> bool:
        return self.text is not None or self.thinking is not None or bool(self.calls)


class Conversation(_Part):
    """Turns for the requests that match."""

    match: Match = Match()
    turns: Annotated[tuple[Turn, ...], Field(min_length=1, strict=False)]


Script: TypeAlias = tuple[Conversation, ...]
_SCRIPT: TypeAdapter[Script] = TypeAdapter(
    Annotated[tuple[Conversation, ...], Field(min_length=1, strict=False)]
)


def read_script(path: Path) -> Script:
    """The script in a file. InvalidInput, with the line of each fault, when it is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is no UTF-8 text; save it as UTF-8") from error
    return script_of_text(text, name=str(path))


def script_of_text(text: str, *, name: str = "the script") -> Script:
    """The script in a YAML text."""
    try:
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        data: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        problem = (error.problem if isinstance(error, yaml.MarkedYAMLError) else None) or "cannot be read"
        finding = Finding(where="", message=f"no YAML: {problem}", line=mark.line + 1 if mark else None)
        raise _refused(name, [finding]) from None
    return script_of_data(data, name=name, tree=tree)


def script_of_data(data: object, *, name: str = "the script", tree: yaml.Node | None = None) -> Script:
    """The script in Python data; `tree` knows the lines that it came from."""
    try:
        return _SCRIPT.validate_python(data)
    except ValidationError as error:
        findings = [
            Finding(where=_place(one["loc"]), message=_message(one["msg"]), line=_line(tree, one["loc"]))
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise _refused(name, findings) from None


def _refused(name: str, findings: list[Finding]) -> InvalidInput:
    told = "; ".join(str(finding) for finding in findings[:3])
    return InvalidInput(f"{name} is no script for a model server: {told}", findings=findings)


def _message(message: str) -> str:
    return message.removeprefix("Value error, ").replace("Extra inputs are not permitted", "no such field")


def _place(location: tuple[int | str, ...]) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return place.removeprefix(".") or "script"


def _line(tree: yaml.Node | None, location: tuple[int | str, ...]) -> int | None:
    """The line of the deepest part of the location that the file has."""
    node = tree
    for part in location:
        below = _below(node, part)
        if below is None:
            break
        node = below
    return node.start_mark.line + 1 if node is not None else None


def _below(node: yaml.Node | None, part: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    return None
