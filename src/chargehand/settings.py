"""Every option: name with unit, default, what it means. Read once from the environment and handed on.

Each is an environment variable with the prefix CHARGEHAND_ (CHARGEHAND_PORT=8701); docs/reference/settings.md
lists them, and a house test holds the two together.
"""

import os
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

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
    database_url: str | None = None
    """A database server instead of SQLite in the data folder: `postgresql://user@host/name` or `mysql://…`."""
    database_connections: int = Field(default=10, ge=2, le=1000)
    """Connections of one process to the database server; never more."""
    database_statement_seconds: float = Field(default=30.0, gt=0, le=3600)
    """How long the database server may take over one statement."""
    database_lock_seconds: float = Field(default=10.0, gt=0, le=3600)
    """How long a statement waits for rows that another transaction holds."""
    database_idle_seconds: float = Field(default=60.0, gt=0, le=3600)
    """After so long without a statement the server ends a transaction, such as one of a stopped process."""
    engine: Literal["embedded", "celery"] = "embedded"
    """Who carries out tasks: this process, or the workers of a fleet (`chargehand worker`)."""
    broker_url: str | None = None
    """The fleet's broker, which carries wake-ups: `redis://host:6379/0` or `amqp://user:password@host//`."""
    agent_queues: dict[str, str] = Field(default_factory=dict[str, str])
    """Agents whose tasks have a queue of their own: `{"backend-developer": "builds"}`; the others': `chargehand`."""
    redis_url: str | None = None
    """A Redis server for signals and rates between processes: `redis://host:6379/0`; it may go at any time."""
    tenant_submits_per_second: float | None = Field(default=None, gt=0, le=100_000)
    """How many tasks a tenant may submit in a second, in the long run; unset: no limit."""
    secrets_dir: Path | None = None
    """A folder of files named after settings (`CHARGEHAND_DATABASE_URL`), whose content is the value."""
    tenant_requests_per_second: float | None = Field(default=None, gt=0, le=100_000)
    """How many requests a tenant may make in a second, in the long run; unset: no limit."""
    key_requests_per_second: float | None = Field(default=None, gt=0, le=100_000)
    """How many requests may be made with one key in a second, in the long run; unset: no limit."""
    address_requests_per_second: float | None = Field(default=None, gt=0, le=100_000)
    """How many requests may come from one address (IPv6: from one /64) in a second; unset: no limit."""
    request_burst_seconds: float = Field(default=2.0, ge=1, le=3600)
    """How many seconds' worth of these requests may come at once."""
    failed_authentications_per_second: float = Field(default=10.0, gt=0, le=10_000)
    """How often one address may come with a wrong key, in the long run; twice as often at once. More goes unread."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose X-Forwarded-For is believed: `10.0.0.5`, `10.1.0.0/16`."""
    tenant_streams: int | None = Field(default=500, ge=1, le=100_000)
    """Streams of events that one tenant may have open at once, in each process."""
    key_streams: int | None = Field(default=250, ge=1, le=100_000)
    """The same of one key."""
    tenant_storage_bytes: int | None = Field(default=None, ge=0)
    """What a tenant's deliverables may hold together before nothing more is accepted (507); unset: no limit."""
    max_connections: int = Field(default=10_000, ge=1, le=1_000_000)
    """Connections of one process at once; further ones are answered 503. No more than the system's limit allows."""
    host: str = "127.0.0.1"
    """What the server listens on. Anything but loopback needs `trusted_hosts`."""
    port: int = Field(default=8700, ge=0, le=65535)
    """0 takes a free port."""
    trusted_hosts: tuple[str, ...] = ()
    """Further names that clients may call the service by (Host header); loopback names always may."""
    cors_origins: tuple[str, ...] = ()
    """Web pages' origins that may call the API from a browser; none by default, `*` is refused."""
    behind_tls: bool = False
    """Clients reach the service by https alone, through a proxy: cookies are Secure, and browsers are told (HSTS)."""
    issuers_file: Path | None = None
    """The OIDC issuers whose tokens are taken beside keys: YAML."""
    slots: int = Field(default=8, ge=1, le=1000)
    """Tasks that one process carries out at once. A task that waits holds none."""
    lease_seconds: float = Field(default=30.0, ge=1, le=3600)
    """How long a worker may be silent before its task is given to another."""
    shutdown_grace_seconds: float = Field(default=20.0, ge=0, le=3600)
    """How long running steps may go on after a request to stop, before their tasks are given back."""
    global_concurrency: int | None = Field(default=None, ge=1)
    """How many tasks may run at once, in all processes and of all tenants together; unset: no limit."""
    tenant_concurrency: int | None = Field(default=None, ge=1)
    """How many tasks of one tenant may run at once, in all processes together; unset: no limit."""
    ageing_seconds: float = Field(default=60.0, ge=0, le=366 * 86_400)
    """How much waiting one point of priority is worth when it is decided which task is next; 0: it is worth nothing."""
    backlog_limit: int = Field(default=1_000_000, ge=1)
    """How many due tasks of all tenants may wait to begin before further ones are refused (503)."""
    tenant_backlog_limit: int | None = Field(default=None, ge=1)
    """How many due tasks of one tenant may wait to begin before further ones are refused (429); unset: no limit."""
    sandbox: Literal["strict", "restricted", "seatbelt", "job", "none"] | None = None
    """The sandbox level; unset: the strongest that works here. `none` runs agents' commands unconfined."""
    master_key: SecretStr | None = None
    """Keys that stored secrets are encrypted with, base64 of 32 bytes each; the first encrypts, all decrypt."""
    master_key_file: Path | None = None
    """A file of such keys that nobody else may read."""
    master_key_keyring: str | None = None
    """Where the operating system's keyring has such a key: `service/name`."""
    agents_dir: Path | None = None
    """A folder of definitions (*.md) to register at start, besides the crew that ships."""
    fetch_hosts: tuple[str, ...] = ()
    """Hosts that agents may get pages from by WebFetch: `docs.python.org`, `*.example.com`, `intranet:8080`."""
    fetch_private_hosts: tuple[str, ...] = ()
    """Those of them, as exact `host:port`, that may lie on this machine or in a private network."""
    webhook_hosts: tuple[str, ...] = ("*",)
    """Hosts that webhooks may be sent to, over https: `*` is every public one; `[]`: none. As `fetch_hosts`."""
    webhook_private_hosts: tuple[str, ...] = ()
    """Further ones, as exact `host:port`, that may lie in a private network or on this machine and speak plain http."""
    webhook_give_up_days: float = Field(default=5.0, gt=0, le=365)
    """A webhook at which nothing has arrived for so long is disabled."""
    webhook_log_days: float = Field(default=30.0, gt=0, le=3650)
    """How long deliveries that have ended are kept."""
    functions: tuple[str, ...] = ()
    """Python callables that agents of runtime `function` may name: `name=package.module:callable`."""
    playbooks: tuple[str, ...] = ()
    """Playbooks besides the crew's: `name=package.module:callable`."""
    model: str | None = None
    """The model of agents whose definition names none that is known here: `provider:model`."""
    model_aliases: dict[str, str] = Field(default_factory=dict[str, str])
    """What names in definitions mean: `{"sonnet": "anthropic:claude-sonnet-4-5"}`."""
    model_keys: Literal["service", "tenants"] = "service"
    """Whose keys pay: a tenant's secret `model:PROVIDER`, else the service's own; or tenants' alone."""
    model_urls: dict[str, str] = Field(default_factory=dict[str, str])
    """Other servers that speak a provider's protocol, by provider."""
    model_context_tokens: int | None = Field(default=None, ge=1000)
    """How many tokens a conversation with a model may have; unset: what is known of the model, else 128,000."""
    model_timeout_seconds: float = Field(default=600.0, gt=0, le=3600)
    """How long one answer of a model may take."""
    model_connect_seconds: float = Field(default=15.0, gt=0, le=3600)
    """How long it may take to reach a provider."""
    model_first_byte_seconds: float = Field(default=120.0, gt=0, le=3600)
    """How long a provider may be silent before a streamed answer begins."""
    model_idle_seconds: float = Field(default=120.0, gt=0, le=3600)
    """How long a provider may be silent in the middle of an answer."""
    model_answer_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    """The largest answer that is read."""
    model_fallbacks: tuple[str, ...] = ()
    """Models to ask, in order, when an agent's own finally fails: `provider:model`."""
    model_concurrency: int = Field(default=64, ge=1, le=10_000)
    """Requests to one provider at once; further ones wait in order."""
    model_circuit_failures: int = Field(default=10, ge=1, le=1000)
    """After so many failures of one provider in a row it is left alone for a while."""
    model_circuit_seconds: float = Field(default=30.0, gt=0, le=3600)
    """How long it is then left alone, before one request tries again."""
    model_max_output_tokens: int = Field(default=8_192, ge=256, le=1_000_000)
    """How long one answer of a model may be at most; a call is reserved at the price of so long a one."""
    model_prices: dict[str, dict[str, float | str]] = Field(default_factory=dict[str, dict[str, float | str]])
    """Prices of models that the shipped table does not know, or that are other here, by `provider:model`."""
    unknown_price: Literal["auto", "refuse", "count_tokens"] = "auto"
    """A model whose price is unknown: refused where a limit in USD applies (auto) or always, or counted in tokens."""
    tenant_usd_per_day: str | None = None
    """What a tenant may spend on models in a day (UTC); unset: no limit."""
    tenant_tokens_per_day: int | None = Field(default=None, ge=1)
    """How many tokens a tenant's models may use in a day (UTC); unset: no limit."""
    skills_dir: Path | None = None
    """A folder of Agent Skills: each a folder with a SKILL.md."""
    tools: tuple[str, ...] = ()
    """Python functions marked with `@tool` that definitions may list: `package.module:function`."""
    selection_seconds: float = Field(default=5.0, ge=0, le=60)
    """How long a model may take to pick the agent of a task for `auto`; 0: the ranking picks alone."""
    mcp_file: Path | None = None
    """The MCP servers whose tools agents may name: YAML or JSON."""
    mcp_first_use: Literal["ask", "trust"] = "ask"
    """A tool that an MCP server is seen to offer for the first time: wait for an approval, or allow it."""
    policy_file: Path | None = None
    """A YAML file of rules: which tool calls run, which a person is asked about, which never run."""
    approval_seconds: float = Field(default=7 * 86_400.0, gt=0, le=366 * 86_400)
    """How long a person has to decide about a call before the default is taken."""
    approval_default: Literal["approve", "deny"] = "deny"
    """What becomes of a call that nobody decided about in time, where its rule says nothing else."""
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024)
    """The largest request body."""
    disk_reserve_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    """Free space below which new tasks are refused (507); what is there is kept."""
    storage_url: str | None = None
    """Where deliverables and snapshots of workspaces are kept: `s3://bucket/prefix`; unset: a folder in `data_dir`."""
    workspace_snapshots: Literal["auto", "on", "off"] = "auto"
    """Whether each attempt works in a folder of its own, published by content; auto: when a fleet carries tasks."""
    retention_days: float | None = Field(default=None, gt=0, le=36_500)
    """How long ended trees of tasks are kept; unset: for ever. Once an hour older ones go, with all they left."""
    workspace_bytes: int = Field(default=1024 * 1024 * 1024, ge=1024 * 1024)
    """How large one workspace may grow."""
    workspace_files: int = Field(default=50_000, ge=100)
    """How many files one workspace may hold."""
    metrics: Literal["off", "key", "open"] = "key"
    """Who may read GET /metrics: nobody, an operator's key with metrics:read, or everyone who reaches the port."""
    metrics_port: int | None = Field(default=None, ge=1, le=65_535)
    """Where a worker and `chargehand upkeep` answer GET /metrics, on the loopback; None: nowhere."""
    traces: Literal["auto", "on", "off"] = "auto"
    """Traces to a collector; auto: when OTEL_EXPORTER_OTLP_ENDPOINT names one."""
    trace_content: bool = False
    """Whether traces hold what models answer and what tools are given and return."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    """auto: lines for people on a terminal, JSON elsewhere."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment, then the files of `secrets_dir`, which the environment must name itself."""
        del dotenv_settings, file_secret_settings
        folder = os.environ.get("CHARGEHAND_SECRETS_DIR")
        if not folder:
            return init_settings, env_settings
        if not Path(folder).is_dir():
            raise SettingsError(f"CHARGEHAND_SECRETS_DIR: {folder} is no folder; name one, or unset it")
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder)

    @property
    def database_path(self) -> Path:
        return self.data_dir / "chargehand.db"

    @property
    def blobs_dir(self) -> Path:
        return self.data_dir / "blobs"

    @property
    def takes_snapshots(self) -> bool:
        """Whether each attempt works in a folder of its own and publishes what it changes."""
        wish = self.workspace_snapshots
        return wish == "on" or (wish == "auto" and self.database_url is not None)

    @property
    def workspaces_dir(self) -> Path:
        return self.data_dir / "workspaces"

    @property
    def own_master_key_file(self) -> Path:
        return self.data_dir / "master.key"

    @property
    def key_file(self) -> Path:
        return self.data_dir / "admin.key"
