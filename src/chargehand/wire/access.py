"""The bodies about keys and tenants."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chargehand.domain.access import Scope
from chargehand.domain.roles import ROLES
from chargehand.domain.tenant import TENANT_ID_PATTERN
from chargehand.wire.bases import Answer, Sent, absent, whole
from chargehand.wire.rest import AGENT_ID_PATTERN, Time

KEY_ID_PATTERN = r"^[0-9A-Za-z]{8}$"
KEY_NAME_PATTERN = r"^[^\x00-\x1f\x7f]{1,128}$"
_AREAS = sorted({one.value.partition(":")[0] for one in Scope})
SCOPE_PATTERN = rf"^({'|'.join([*Scope, *(f'{one}:[*]' for one in _AREAS)])})$"
ROLE_PATTERN = rf"^({'|'.join(ROLES)})$"
KeyName = Annotated[str, Field(pattern=KEY_NAME_PATTERN, max_length=128)]
DisplayName = Annotated[
    str, Field(pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$", max_length=128)
]
AgentId = Annotated[str, Field(pattern=AGENT_ID_PATTERN)]


class KeySubmission(Sent):
    """A key to be made. It needs scopes or roles, and can do no more than the key that makes it."""

    name: KeyName = Field(examples=["ci"])
    """Unique in the tenant."""
    scopes: list[Annotated[str, Field(pattern=SCOPE_PATTERN)]] = Field(
        default_factory=list[str], max_length=64, examples=[["tasks:read", "tasks:write"]]
    )
    """What it may do; `tasks:*` stands for all that begin so."""
    roles: list[Annotated[str, Field(pattern=ROLE_PATTERN)]] = Field(
        default_factory=list[str], max_length=16, examples=[["client"]]
    )
    """Named sets of scopes."""
    agents: list[AgentId] | None = Field(default=None, min_length=1, max_length=100)
    """Only these agents, and the tasks that are given to them; null: as the key that makes it."""
    expires_at: Time | None = None
    """null: when the key that makes it does."""


class KeyRotation(Sent):
    """How a key is replaced."""

    keep_seconds: Annotated[int, Field(ge=0, le=90 * 86_400), BeforeValidator(whole)] = 86_400
    """How long the old key still works."""
    expires_at: Time | None = None
    """When the new one ends; null: it lasts as long as the old one did."""


class KeyBody(Answer):
    """A key as it stands; never the key itself."""

    id: str
    name: str
    last_four: str
    scopes: list[Scope]
    roles: list[str]
    """Where scopes came from when it was made."""
    agents: list[str] | None
    """What it is narrowed to; null: nothing."""
    replaces: str | None
    """The key whose place it has taken."""
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To within a minute; null: it has not been used."""


class KeyMade(Answer):
    """A new key, which is told this once."""

    secret: str
    """What goes into `Authorization: Bearer …`."""
    key: KeyBody


class KeyRotated(Answer):
    """The new key, which is told this once, and the old one with its end."""

    secret: str
    key: KeyBody
    replaced: KeyBody


class KeyPage(Answer):
    """A part of a list, by name."""

    items: list[KeyBody]
    next_cursor: str | None


class TenantSubmission(Sent):
    """A tenant to be made."""

    id: Annotated[str, Field(pattern=TENANT_ID_PATTERN)] = Field(examples=["shop"])
    display_name: DisplayName | None = Field(default=None, examples=["The web shop"])
    """null: its id."""
    with_key: bool = True
    """Make its first administrator's key."""


class TenantChange(Sent):
    """What is to be different about a tenant. What is not sent stays as it is."""

    display_name: DisplayName = Field(default="", json_schema_extra=absent)
    is_suspended: bool = Field(default=False, json_schema_extra=absent)
    """Its keys are refused and nothing of it begins, until it is resumed."""

    def values(self) -> dict[str, Any]:
        """What was sent."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class TenantBody(Answer):
    """A tenant as it stands."""

    id: str
    display_name: str
    created_by: str
    created_at: datetime
    is_suspended: bool
    suspended_at: datetime | None


class TenantMade(Answer):
    """A new tenant, and its first key, which is told this once."""

    tenant: TenantBody
    secret: str | None
    key: KeyBody | None


class TenantPage(Answer):
    """A part of a list, by id."""

    items: list[TenantBody]
    next_cursor: str | None
