"""The operator's file of MCP servers: YAML or JSON, name → where it is, or what to start, and how it is called.

Rule: only what stands here is connected to or started, whatever a definition says; keys come from the environment or
the stored secrets (`${secret:NAME}`), so that the file can be shown around.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from chargehand.domain.mcp import SERVER_NAME
from chargehand.domain.secret import filled_in, references, references_in
from chargehand.errors import Finding, InvalidInput
from chargehand.tools.sandbox.environment import checked_variables

MAX_FILE_BYTES = 1024 * 1024
_NO_NETWORK = (
    "cannot be true: no level of the sandbox lets a program out to the network. Start the server yourself and give"
    " its streamable HTTP `url`"
)


class _HttpEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    type: Literal["http", "streamable-http", "streamable_http"] = "http"
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    headers_from_env: dict[str, str] = Field(default_factory=dict[str, str])
    timeout_seconds: float = Field(default=60.0, gt=0, le=600)

    @field_validator("headers")
    @classmethod
    def _refer_to_names(cls, headers: dict[str, str]) -> dict[str, str]:
        return _checked_references(headers)

    @field_validator("url")
    @classmethod
    def _is_plain(cls, url: str) -> str:
        if references_in(url):
            raise ValueError("holds a reference to a secret; put it into `headers`")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is no http or https address")
        if parts.username or parts.password:
            raise ValueError("holds a user or password; use headers_from_env")
        return url


class _ProgramEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str = Field(min_length=1)
    type: Literal["stdio"] = "stdio"
    args: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict[str, str])
    env_from: tuple[str, ...] = ()
    network: bool = False
    timeout_seconds: float = Field(default=60.0, gt=0, le=600)

    @field_validator("network")
    @classmethod
    def _is_off(cls, network: bool) -> bool:
        if network:
            raise ValueError(_NO_NETWORK)
        return network

    @field_validator("env_from")
    @classmethod
    def _are_names(cls, env_from: tuple[str, ...]) -> tuple[str, ...]:
        try:
            checked_variables(dict.fromkeys(env_from, ""))
        except InvalidInput as error:
            # Not the text of it: who mistakes this for `env` writes a key here.
            raise ValueError("takes the names of variables, without values") from error
        return env_from

    @model_validator(mode="after")
    def _can_be_passed(self) -> "_ProgramEntry":
        try:
            checked_variables(self.env)
        except InvalidInput as error:
            raise ValueError(error.message) from error
        _checked_references(self.env)
        if any(references_in(part) for part in (self.command, *self.args)):
            raise ValueError(
                "an argument holds a reference to a secret, which others could see; put it into `env`"
            )
        if any("\0" in part for part in (self.command, *self.args)):
            raise ValueError("an argument holds a NUL character")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServer:
    """A server that the operator says where to find."""

    name: str
    url: str
    timeout_seconds: float
    headers: Mapping[str, str]
    headers_from_env: Mapping[str, str]
    """Header → the variable that its value is read from, when a request is made."""

    def all_headers(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """What is sent; InvalidInput names a variable that is not set."""
        found = dict(self.headers)
        for header, variable in self.headers_from_env.items():
            found[header] = _value(self.name, variable, environment)
        return found

    def needed_secrets(self) -> set[str]:
        """The names that its headers refer to."""
        return _names(self.headers)

    def given(self, values: Mapping[str, str]) -> "HttpServer":
        """With the secrets in the places of the references; for one conversation."""
        return replace(self, headers=_filled(self.name, self.headers, values))

    def secrets(self, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
        """What must not come back in what the server says."""
        values = (environment.get(variable, "") for variable in self.headers_from_env.values())
        return (*values, *self.headers.values(), urlsplit(self.url).query)

    def without_its_address(self, text: str) -> str:
        """For telling: an address may hold a token in its query."""
        return text.replace(self.url, "its url")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramServer:
    """A server that the operator says how to start; it is spoken to over its standard input and output."""

    name: str
    argv: tuple[str, ...]
    timeout_seconds: float
    variables: Mapping[str, str]
    variables_from_env: tuple[str, ...]
    """Those that are passed on from the service's own environment, when the program is started."""
    hidden: tuple[str, ...] = field(default=(), repr=False)
    """The secrets among the variables."""

    def environment(self, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
        """What is added to the program's environment; InvalidInput names a variable that is not set."""
        passed_on = {name: _value(self.name, name, environment) for name in self.variables_from_env}
        return {**self.variables, **passed_on}

    def needed_secrets(self) -> set[str]:
        """The names that its variables refer to."""
        return _names(self.variables)

    def given(self, values: Mapping[str, str]) -> "ProgramServer":
        """With the secrets in the places of the references; for one conversation."""
        variables = _filled(self.name, self.variables, values)
        return replace(self, variables=variables, hidden=tuple(values.values()))

    def secrets(self, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
        """What must not come back in what the program says."""
        return (*(environment.get(name, "").strip() for name in self.variables_from_env), *self.hidden)

    def without_its_address(self, text: str) -> str:
        """It has none."""
        return text


McpServer = HttpServer | ProgramServer


def _checked_references(texts: dict[str, str]) -> dict[str, str]:
    try:
        _names(texts)
    except InvalidInput as error:
        raise ValueError(f"`${{secret:…}}`: {error.message}") from error
    return texts


def _names(texts: Mapping[str, str]) -> set[str]:
    return {name for text in texts.values() for name in references(text)}


def _filled(server: str, texts: Mapping[str, str], values: Mapping[str, str]) -> dict[str, str]:
    if missing := sorted(_names(texts) - values.keys()):
        raise InvalidInput(
            f"the server {server!r} needs the secret {missing[0]!r}, which is not there; the operator sets it with"
            f" `chargehand secrets set {missing[0]}`"
        )
    return {name: filled_in(text, values) for name, text in texts.items()}


def _value(server: str, variable: str, environment: Mapping[str, str]) -> str:
    value = environment.get(variable, "").strip()
    if not value:
        raise InvalidInput(f"the server {server!r} needs the variable {variable}, which is not set")
    return value


def read_mcp_file(path: Path | None) -> dict[str, McpServer]:
    """The servers of the file, by name. InvalidInput tells all that is wrong with it."""
    if path is None:
        return {}
    try:
        text = path.read_bytes()[: MAX_FILE_BYTES + 1].decode("utf-8")
        data: Any = yaml.safe_load(text) if len(text) <= MAX_FILE_BYTES else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InvalidInput(f"CHARGEHAND_MCP_FILE: {path} cannot be read: {error}") from error
    listed = data.get("mcpServers", data) if isinstance(data, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - YAML of an operator
    if not isinstance(listed, dict):
        raise InvalidInput(
            f"CHARGEHAND_MCP_FILE: {path} is no mapping of server names to `url: …` or `command: …`"
        )
    findings: list[Finding] = []
    servers = [_server(str(name), entry, findings) for name, entry in listed.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - checked entry by entry
    if findings:
        raise InvalidInput(f"CHARGEHAND_MCP_FILE: {path}: {findings[0]}", findings=findings)
    return {server.name: server for server in servers if server is not None}


def _server(name: str, entry: object, findings: list[Finding]) -> McpServer | None:
    if not SERVER_NAME.fullmatch(name) or len(name) > 40:
        hint = "up to 40 letters, digits and - with single _ between them"
        findings.append(Finding(where=name[:64], message="cannot be a server's name", hint=hint))
        return None
    kind = _ProgramEntry if isinstance(entry, dict) and "command" in entry else _HttpEntry
    try:
        read = kind.model_validate(entry)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            place = ".".join([name, *(str(part) for part in problem["loc"])])
            findings.append(Finding(where=place, message=problem["msg"]))
        return None
    if isinstance(read, _ProgramEntry):
        return ProgramServer(
            name=name,
            argv=(read.command, *read.args),
            timeout_seconds=read.timeout_seconds,
            variables=read.env,
            variables_from_env=read.env_from,
        )
    return HttpServer(
        name=name,
        url=read.url,
        timeout_seconds=read.timeout_seconds,
        headers=read.headers,
        headers_from_env=read.headers_from_env,
    )
