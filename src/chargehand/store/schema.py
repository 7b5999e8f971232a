"""All tables together: whoever needs every table of the service asks here, so that none is forgotten."""

from chargehand.store import (
    audit_tables,
    secret_tables,
    session_tables,
    tenant_limit_tables,
    tenant_tables,
    webhook_tables,
)
from chargehand.store.tables import Base

_SUBJECTS = (audit_tables, tenant_limit_tables, secret_tables, session_tables, tenant_tables, webhook_tables)
METADATA = Base.metadata
"""Complete once this module is imported; modules with tables of one subject are imported above."""
