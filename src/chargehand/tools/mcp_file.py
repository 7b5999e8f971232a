"""The operator's file of MCP servers: YAML or JSON, name → where it is and how it is called.

Rule: only what stands here is connected to, whatever a definition says; keys come from the environment, so that
the file can be shown around.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from chargehand.domain.mcp import SERVER_NAME
from chargehand.errors import Finding, InvalidInput

MAX_FILE_BYTES = 1024 * 1024
_STDIO = (
    "is a program to start (stdio), which is not supported: the sandbox runs commands to their end and cannot yet"
    " hold a conversation with one. Start the server yourself and give its streamable HTTP `url`"
)


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    type: Literal["http", "streamable-http", "streamable_http"] = "http"
    headers: dict[str, str] = Field(default_factory=dict[str, str])
    headers_from_env: dict[str, str] = Field(default_factory=dict[str, str])
    timeout_seconds: float = Field(default=60.0, gt=0, le=600)

    @field_validator("url")
    @classmethod
    def _is_plain(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is no http or https address")
        if parts.username or parts.password:
            raise ValueError("holds a user or password; use headers_from_env")
        return url


@dataclass(frozen=True, slots=True, kw_only=True)
class McpServer:
    """A server as the operator configured it."""

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
            value = environment.get(variable, "").strip()
            if not value:
                raise InvalidInput(
                    f"the server {self.name!r} needs the variable {variable}, which is not set"
                )
            found[header] = value
        return found

    def secrets(self, environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
        """What must not come back in what the server says."""
        values = (environment.get(variable, "") for variable in self.headers_from_env.values())
        return (*values, *self.headers.values(), urlsplit(self.url).query)


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
        raise InvalidInput(f"CHARGEHAND_MCP_FILE: {path} is no mapping of server names to `url: …`")
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
    if isinstance(entry, dict) and "command" in entry:
        findings.append(Finding(where=name, message=_STDIO))
        return None
    try:
        read = _Entry.model_validate(entry)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False, include_input=False):
            place = ".".join([name, *(str(part) for part in problem["loc"])])
            findings.append(Finding(where=place, message=problem["msg"]))
        return None
    return McpServer(
        name=name,
        url=read.url,
        timeout_seconds=read.timeout_seconds,
        headers=read.headers,
        headers_from_env=read.headers_from_env,
    )
