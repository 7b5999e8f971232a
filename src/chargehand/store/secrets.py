"""Secrets as rows: sealed values, which say nothing by themselves."""

from collections.abc import Collection
from typing import Any, cast

from sqlalchemy import Row, Select, delete, func, insert, select, update

from chargehand.domain.secret import Secret
from chargehand.store.database import Tx
from chargehand.store.secret_tables import Secret as Table

_TOLD = cast(
    "Select[Any]",
    select(Table.name, Table.version, Table.created_at, Table.created_by, Table.updated_at, Table.updated_by),
)


async def of_tenant(tx: Tx, tenant: str) -> list[Secret]:
    """What is told of a tenant's secrets, by name."""
    statement = _TOLD.where(Table.tenant == tenant).order_by(Table.name)
    return [_as_secret(row) for row in await tx.connection.execute(statement)]


async def hold(tx: Tx, tenant: str, name: str) -> Secret | None:
    """The secret, if there is one, held until the transaction ends."""
    statement = _TOLD.where(Table.tenant == tenant, Table.name == name).with_for_update()
    found = (await tx.connection.execute(statement)).first()
    return None if found is None else _as_secret(found)


async def count(tx: Tx, tenant: str) -> int:
    """How many a tenant has."""
    statement = select(func.count()).select_from(Table).where(Table.tenant == tenant)
    return int(await tx.connection.scalar(statement) or 0)


async def sealed(tx: Tx, tenant: str, names: Collection[str]) -> dict[str, tuple[int, bytes]]:
    """The version and the sealed value of those of these secrets that there are."""
    statement = select(Table.name, Table.version, Table.sealed).where(
        Table.tenant == tenant, Table.name.in_(list(names))
    )
    return {row.name: (row.version, bytes(row.sealed)) for row in await tx.connection.execute(statement)}


async def add(tx: Tx, tenant: str, secret: Secret, value: bytes) -> None:
    """Store a new secret; `value` is sealed."""
    row = {
        "tenant": tenant,
        "name": secret.name,
        "version": secret.version,
        "sealed": value,
        "created_at": secret.created_at,
        "created_by": secret.created_by,
        "updated_at": secret.updated_at,
        "updated_by": secret.updated_by,
    }
    await tx.connection.execute(insert(Table).values(row))


async def replace(tx: Tx, tenant: str, secret: Secret, value: bytes) -> None:
    """Give a held secret another value, which is sealed."""
    await tx.connection.execute(
        update(Table)
        .where(Table.tenant == tenant, Table.name == secret.name)
        .values(
            version=secret.version,
            sealed=value,
            updated_at=secret.updated_at,
            updated_by=secret.updated_by,
        )
    )


async def remove(tx: Tx, tenant: str, name: str) -> bool:
    """Delete a secret; whether there was one."""
    done = await tx.connection.execute(delete(Table).where(Table.tenant == tenant, Table.name == name))
    return done.rowcount > 0


def _as_secret(row: Row[Any]) -> Secret:
    return Secret(
        name=row.name,
        version=row.version,
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )
