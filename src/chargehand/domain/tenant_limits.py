"""What one tenant may use, so that the others have their share."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """Limits of a tenant. None: what the settings say holds; in the settings, no limit."""

    requests_per_second: float | None = None
    submits_per_second: float | None = None
    concurrency: int | None = None
    """Tasks that run at once."""
    backlog: int | None = None
    """Due tasks that wait to begin."""
    streams: int | None = None
    """Streams of events that are open at once, in each process."""
    usd_nanos_per_day: int | None = None
    tokens_per_day: int | None = None
    storage_bytes: int | None = None
    """What its deliverables hold together."""

    def or_else(self, defaults: "TenantLimits") -> "TenantLimits":
        """These limits, and the others where these say nothing."""
        own = {name: getattr(self, name) for name in LIMIT_NAMES}
        return TenantLimits(
            **{name: getattr(defaults, name) if value is None else value for name, value in own.items()}
        )


LIMIT_NAMES = tuple(field.name for field in fields(TenantLimits))
NO_TENANT_LIMITS = TenantLimits()
