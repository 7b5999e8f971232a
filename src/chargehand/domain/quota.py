"""How a tenant stands against one of its limits."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaUse:
    """A limit by its name (as in TenantLimits), what is used of it, and since when it is whole again.

    Of rates `used` is how many of those that may come at once have come; `limit` None: there is none.
    """

    name: str
    limit: float | None
    used: float | None
    resets_at: datetime | None = None
