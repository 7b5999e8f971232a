"""What keeps a database's planner from an index that misleads it.

Rule: SQLite keeps no figures of what is in a table, and takes a few equal values for fewer rows than a list of keys,
however many rows have them. A condition that only filters what keys have found is therefore wrapped.
"""

from sqlalchemy import ColumnElement, func
from sqlalchemy.orm import InstrumentedAttribute


def by_no_index(column: InstrumentedAttribute[str]) -> ColumnElement[str]:
    """The column as a value that no index leads to; it is never NULL."""
    return func.coalesce(column, "")
