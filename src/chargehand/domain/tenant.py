"""A tenant: one of those whose agents, tasks and keys are kept apart."""

import re
from dataclasses import dataclass
from datetime import datetime

TENANT_ID_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
TENANT_ID_FORM = "1 to 63 of a-z 0-9 -, with a letter or a digit at both ends"
TENANT_ID = re.compile(TENANT_ID_PATTERN)
MAX_DISPLAY_NAME = 128
DISPLAY_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A row of `tenants`."""

    id: str
    display_name: str
    created_by: str
    created_at: datetime
    suspended_at: datetime | None
    """Since when its keys are refused and its tasks wait."""
