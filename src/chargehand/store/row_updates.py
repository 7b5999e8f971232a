"""An update of many rows, each with values of its own, that counts what it has changed.

Rule: one round trip, however many rows there are. SQLite's and MySQL's drivers count over many sets of values;
PostgreSQL's does not, and is given the values as arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ARRAY, ColumnElement, CursorResult, Update, bindparam, column, func, update

from chargehand.store.database import Tx
from chargehand.store.tables import Base


@dataclass(frozen=True, slots=True)
class RowUpdate:
    """Built once for each set of columns, as every statement of a hot path."""

    names: tuple[str, ...]
    for_each: Update
    """With one row's values."""
    for_arrays: Update
    """With an array of values for each name."""

    @classmethod
    def of(
        cls,
        table: type[Base],
        columns: Sequence[str],
        *,
        seen: Mapping[str, str],
        also: Sequence[ColumnElement[bool]] = (),
        fixed: Mapping[str, Any] | None = None,
    ) -> "RowUpdate":
        """Sets these columns where the columns named by `seen` hold the row's values of those names.

        `also`: further conditions; `fixed`: columns that are set alike in every row.
        """
        of_table = table.__table__.c
        types = {name: of_table[name].type for name in columns}
        types |= {name: of_table[its_column].type for name, its_column in seen.items()}
        arrays = (bindparam(name, type_=ARRAY(type_, dimensions=1)) for name, type_ in types.items())
        given = (
            func.unnest(*arrays)
            .table_valued(*(column(name, type_) for name, type_ in types.items()))
            .render_derived(name="given")
        )

        def with_values(values: Mapping[str, Any]) -> Update:
            conditions = (of_table[its_column] == values[name] for name, its_column in seen.items())
            changed = {name: values[name] for name in columns} | dict(fixed or {})
            return update(table).where(*conditions, *also).values(changed)

        return cls(
            tuple(types),
            with_values({name: bindparam(name) for name in types}),
            with_values(dict(given.c.items())),
        )

    async def run(self, tx: Tx, rows: Sequence[Mapping[str, Any]]) -> int:
        """How many rows were changed."""
        if tx.connection.dialect.name == "postgresql" and len(rows) > 1:
            arrays = {name: [row[name] for row in rows] for name in self.names}
            result = await tx.connection.execute(self.for_arrays, arrays)
        else:
            result = await tx.connection.execute(self.for_each, rows)
        return cast("CursorResult[Any]", result).rowcount
