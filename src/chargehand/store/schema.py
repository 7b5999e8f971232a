"""All tables together: whoever needs every table of the service asks here, so that none is forgotten."""

from chargehand.store import tenant_limit_tables
from chargehand.store.tables import Base

__all__ = ["METADATA", "tenant_limit_tables"]

METADATA = Base.metadata
"""Complete once this module is imported; modules with tables of one subject are imported above."""
