"""What the settings mean to the parts that they are for."""

from datetime import timedelta

from chargehand.clock import Clock
from chargehand.domain.charge import UnknownPrice
from chargehand.domain.fairness import Concurrency
from chargehand.domain.money import nanos_of
from chargehand.domain.tenant_limits import TenantLimits
from chargehand.models.costs import Costs
from chargehand.models.limits import ModelLimits
from chargehand.models.prices import Prices, own_prices
from chargehand.service.master_keys import MasterKeySources
from chargehand.service.request_rates import RequestLimits
from chargehand.service.retention import Retention, WorkspaceFolders
from chargehand.service.snapshots import Snapshots
from chargehand.settings import Settings
from chargehand.store.blobs import Blobs
from chargehand.store.database import Database
from chargehand.store.rates import Rate
from chargehand.store.server_url import ServerLimits
from chargehand.tools.own_workspace import remove_copy, workspaces_in

FAILED_AUTHENTICATION_BURST_SECONDS = 2.0


def server_limits(settings: Settings) -> ServerLimits:
    """Of the connections to a database server."""
    return ServerLimits(
        connections=settings.database_connections,
        statement_seconds=settings.database_statement_seconds,
        lock_seconds=settings.database_lock_seconds,
        idle_transaction_seconds=settings.database_idle_seconds,
    )


def master_keys(settings: Settings) -> MasterKeySources:
    """Where the keys are that stored secrets are encrypted with."""
    key = settings.master_key
    return MasterKeySources(
        environment=None if key is None else key.get_secret_value(),
        file=settings.master_key_file,
        keyring=settings.master_key_keyring,
        own_file=settings.own_master_key_file,
    )


def retention_of(
    settings: Settings, db: Database, blobs: Blobs, clock: Clock, snapshots: Snapshots
) -> Retention:
    """What is kept, and what goes with what goes."""
    folder = settings.workspaces_dir
    return Retention(
        db=db,
        blobs=blobs,
        clock=clock,
        folders=WorkspaceFolders(
            listed=lambda: workspaces_in(folder), remove=lambda task_id: remove_copy(folder / task_id)
        ),
        heads=snapshots.referred_to,
        keep=None if settings.retention_days is None else timedelta(days=settings.retention_days),
    )


def costs(settings: Settings) -> Costs:
    """What models cost."""
    return Costs(
        prices=Prices(own_prices(settings.model_prices)),
        unknown_price=UnknownPrice(settings.unknown_price),
        max_output_tokens=settings.model_max_output_tokens,
    )


def tenant_limits(settings: Settings) -> TenantLimits:
    """What every tenant may use that has no other limits of its own."""
    usd = settings.tenant_usd_per_day
    return TenantLimits(
        requests_per_second=settings.tenant_requests_per_second,
        submits_per_second=settings.tenant_submits_per_second,
        concurrency=settings.tenant_concurrency,
        backlog=settings.tenant_backlog_limit,
        streams=settings.tenant_streams,
        usd_nanos_per_day=None if usd is None else nanos_of(usd, "CHARGEHAND_TENANT_USD_PER_DAY"),
        tokens_per_day=settings.tenant_tokens_per_day,
        storage_bytes=settings.tenant_storage_bytes,
    )


def request_limits(settings: Settings) -> RequestLimits:
    """How fast one key and one address may ask."""
    return RequestLimits(
        key_per_second=settings.key_requests_per_second,
        address_per_second=settings.address_requests_per_second,
        burst_seconds=settings.request_burst_seconds,
    )


def failed_authentications(settings: Settings) -> Rate:
    """How often one address may come with a key that is none."""
    per_second = settings.failed_authentications_per_second
    return Rate.of_seconds(per_second, FAILED_AUTHENTICATION_BURST_SECONDS)


def concurrency(settings: Settings) -> Concurrency:
    """How many tasks may run at once."""
    return Concurrency(
        whole=settings.global_concurrency,
        tenant=settings.tenant_concurrency,
        ageing_seconds=settings.ageing_seconds,
    )


def model_limits(settings: Settings) -> ModelLimits:
    """How long models may take and how many are asked at once."""
    return ModelLimits(
        connect_seconds=settings.model_connect_seconds,
        first_byte_seconds=settings.model_first_byte_seconds,
        idle_seconds=settings.model_idle_seconds,
        total_seconds=settings.model_timeout_seconds,
        max_answer_bytes=settings.model_answer_bytes,
        concurrency=settings.model_concurrency,
        circuit_failures=settings.model_circuit_failures,
        circuit_seconds=settings.model_circuit_seconds,
    )
