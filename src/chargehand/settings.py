"""Every option: name with unit, default, what it means. Read once from the environment and handed on.

Each is an environment variable with the prefix CHARGEHAND_ (CHARGEHAND_PORT=8701); docs/reference/settings.md
lists them, and a house test holds the two together.
"""

import os
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


def default_data_dir() -> Path:
    """Where this platform keeps an application's data."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "Chargehand"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Chargehand"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "chargehand"


class Settings(BaseSettings):
    """The service's options."""

    model_config = SettingsConfigDict(env_prefix="CHARGEHAND_", extra="ignore", frozen=True)

    data_dir: Path = Field(default_factory=default_data_dir)
    """Database, blobs, workspaces, keys. One process at a time."""
    host: str = "127.0.0.1"
    """What the server listens on. Anything but loopback needs `trusted_hosts`."""
    port: int = Field(default=8700, ge=0, le=65535)
    """0 takes a free port."""
    trusted_hosts: tuple[str, ...] = ()
    """Further names that clients may call the service by (Host header); loopback names always may."""
    cors_origins: tuple[str, ...] = ()
    """Web pages' origins that may call the API from a browser; none by default, `*` is refused."""
    slots: int = Field(default=8, ge=1, le=1000)
    """Tasks carried out at once by the embedded engine. A task that waits holds none."""
    lease_seconds: float = Field(default=30.0, ge=1, le=3600)
    """How long a worker may be silent before its task is given to another."""
    shutdown_grace_seconds: float = Field(default=20.0, ge=0, le=3600)
    """How long running steps may go on after a request to stop, before their tasks are given back."""
    sandbox: Literal["strict", "restricted", "seatbelt", "job", "none"] | None = None
    """The sandbox level; unset: the strongest that works here. `none` runs agents' commands unconfined."""
    agents_dir: Path | None = None
    """A folder of definitions (*.md) to register at start, besides the crew that ships."""
    functions: tuple[str, ...] = ()
    """Python callables that agents of runtime `function` may name: `name=package.module:callable`."""
    playbooks: tuple[str, ...] = ()
    """Playbooks besides the crew's: `name=package.module:callable`."""
    model: str | None = None
    """The model of agents whose definition names none that is known here: `provider:model`."""
    model_aliases: dict[str, str] = Field(default_factory=dict[str, str])
    """What names in definitions mean: `{"sonnet": "anthropic:claude-sonnet-4-5"}`."""
    model_urls: dict[str, str] = Field(default_factory=dict[str, str])
    """Other servers that speak a provider's protocol, by provider."""
    model_context_tokens: int | None = Field(default=None, ge=1000)
    """How many tokens a conversation with a model may have; unset: what is known of the model, else 128,000."""
    model_timeout_seconds: float = Field(default=600.0, gt=0, le=3600)
    """How long one answer of a model may take."""
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    """The largest request body."""
    disk_reserve_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    """Free space below which new tasks are refused (507); what is there is kept."""
    workspace_bytes: int = Field(default=1024 * 1024 * 1024, ge=1024 * 1024)
    """How large one workspace may grow."""
    workspace_files: int = Field(default=50_000, ge=100)
    """How many files one workspace may hold."""
    metrics: Literal["off", "key", "open"] = "key"
    """Who may read GET /metrics: nobody, a key with the scope metrics:read, or everyone who reaches the port."""
    traces: Literal["auto", "on", "off"] = "auto"
    """Traces to a collector; auto: when OTEL_EXPORTER_OTLP_ENDPOINT names one."""
    trace_content: bool = False
    """Whether traces hold what models answer and what tools are given and return."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    """auto: lines for people on a terminal, JSON elsewhere."""

    @property
    def database_path(self) -> Path:
        return self.data_dir / "chargehand.db"

    @property
    def blobs_dir(self) -> Path:
        return self.data_dir / "blobs"

    @property
    def workspaces_dir(self) -> Path:
        return self.data_dir / "workspaces"

    @property
    def key_file(self) -> Path:
        return self.data_dir / "admin.key"
