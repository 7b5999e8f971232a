"""The bodies about limits: what a tenant may use, and how it stands to that."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from chargehand.domain.money import MAX_USD, nanos_of, usd_text
from chargehand.domain.quota import QuotaUse
from chargehand.domain.tenant_limits import TenantLimits
from chargehand.domain.values import MAX_SAFE_INTEGER
from chargehand.wire.bases import AMOUNT_PATTERN, Answer, Sent, whole

_PerSecond = Annotated[float, Field(gt=0, le=100_000)]
_Count = Annotated[int, Field(ge=1, le=100_000), BeforeValidator(whole)]
_Many = Annotated[int, Field(ge=0, le=MAX_SAFE_INTEGER), BeforeValidator(whole)]


class TenantLimitsBody(Sent):
    """The limits of one tenant. What is null or left out is as the service's settings say."""

    requests_per_second: _PerSecond | None = None
    """In the long run."""
    submits_per_second: _PerSecond | None = None
    """Tasks handed in; in the long run."""
    concurrency: _Count | None = None
    """Tasks that run at once."""
    backlog: Annotated[int, Field(ge=1, le=1_000_000_000), BeforeValidator(whole)] | None = None
    """Due tasks that wait to begin."""
    streams: _Count | None = None
    """Streams of events open at once, in each process."""
    usd_per_day: Annotated[str, Field(pattern=AMOUNT_PATTERN)] | None = None
    """What its models may cost in a day (UTC): decimal text such as `"25.00"`."""
    tokens_per_day: _Many | None = None
    storage_bytes: _Many | None = None
    """What its deliverables may hold together."""

    def as_limits(self) -> TenantLimits:
        """As the domain knows them."""
        given = self.model_dump(exclude={"usd_per_day"})
        usd = self.usd_per_day
        return TenantLimits(
            **given,
            usd_nanos_per_day=None if usd is None else nanos_of(usd, f"usd_per_day (below {MAX_USD})"),
        )


class TenantLimitsAnswer(Answer):
    """A tenant's limits: its own, and those that hold."""

    tenant: str
    own: TenantLimitsBody
    """null: what the settings say."""
    effective: TenantLimitsBody
    """null: no limit."""


class LimitUse(Answer):
    """A limit, and what is used of it."""

    limit: float | None
    """null: there is none."""
    used: float | None
    """Of rates: how many of those that may come at once; null where there is no limit."""
    resets_at: datetime | None
    """When all of it is there again; null where it follows what goes on."""


class UsdLimitUse(Answer):
    """As LimitUse; money is decimal text in USD."""

    limit: str | None
    used: str
    resets_at: datetime | None


class LimitUses(Answer):
    """How a tenant stands to each of its limits."""

    requests_per_second: LimitUse
    submits_per_second: LimitUse
    concurrency: LimitUse
    backlog: LimitUse
    streams: LimitUse
    """Those of the process that answers."""
    usd_per_day: UsdLimitUse
    tokens_per_day: LimitUse
    storage_bytes: LimitUse


def limits_body(limits: TenantLimits) -> dict[str, Any]:
    """TenantLimitsBody."""
    usd = limits.usd_nanos_per_day
    return {
        "requests_per_second": limits.requests_per_second,
        "submits_per_second": limits.submits_per_second,
        "concurrency": limits.concurrency,
        "backlog": limits.backlog,
        "streams": limits.streams,
        "usd_per_day": None if usd is None else usd_text(usd),
        "tokens_per_day": limits.tokens_per_day,
        "storage_bytes": limits.storage_bytes,
    }


def limit_uses(quotas: Iterable[QuotaUse]) -> dict[str, Any]:
    """LimitUses."""
    found: dict[str, Any] = {}
    for one in quotas:
        name, limit, used = one.name, one.limit, one.used
        if name == "usd_nanos_per_day":
            told = (None if limit is None else usd_text(int(limit)), usd_text(int(used or 0)))
            name = "usd_per_day"
        else:
            told = (limit, used)
        found[name] = {"limit": told[0], "used": told[1], "resets_at": one.resets_at}
    return found
