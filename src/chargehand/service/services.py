"""All that can be done, in one place: what app.py hands to the ways in."""

from dataclasses import dataclass

from chargehand.service.access import Access
from chargehand.service.agents import Agents
from chargehand.service.approvals import Approvals
from chargehand.service.audit import Audit
from chargehand.service.authentication_tries import AuthenticationTries
from chargehand.service.health import Health
from chargehand.service.keys import Keys
from chargehand.service.mcp_pins import McpPins
from chargehand.service.measures import Measures
from chargehand.service.messages import Messages
from chargehand.service.open_streams import OpenStreams
from chargehand.service.ports import TokenVerifier
from chargehand.service.quota_reports import QuotaReports
from chargehand.service.request_rates import RequestRates
from chargehand.service.retention import Retention
from chargehand.service.schedules import Schedules
from chargehand.service.secrets import Secrets
from chargehand.service.sessions import Sessions
from chargehand.service.tasks import Tasks
from chargehand.service.tenant_limits import LimitsOfTenants
from chargehand.service.tenants import Tenants
from chargehand.service.usage import UsageReports
from chargehand.service.vault import Vault
from chargehand.service.watch import Watch
from chargehand.service.webhooks import Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The service's use cases."""

    agents: Agents
    tasks: Tasks
    schedules: Schedules
    webhooks: Webhooks
    approvals: Approvals
    messages: Messages
    watch: Watch
    usage: UsageReports
    access: Access
    keys: Keys
    tenants: Tenants
    health: Health
    mcp: McpPins
    measures: Measures
    retention: Retention
    vault: Vault
    secrets: Secrets
    audit: Audit
    sessions: Sessions
    authentication_tries: AuthenticationTries
    request_rates: RequestRates
    limits: LimitsOfTenants
    quota_reports: QuotaReports
    streams: OpenStreams
    tokens: TokenVerifier | None = None
    """None: no issuer is configured, and only keys of this service are taken."""
