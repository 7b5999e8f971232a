"""Python objects of the operator's own: named by a setting, or by an installed package's entry point."""

import importlib
from collections.abc import Iterator
from importlib.metadata import entry_points

from chargehand.errors import InvalidInput

NOT_FOUND_HINT = "; the module must be installed, or lie where `python -m chargehand serve` is started"
"""The command `chargehand` does not look into the folder it is started in."""


def loaded(place: str, setting: str) -> object:
    """What `package.module:name` stands for. InvalidInput names the setting and why it cannot be loaded."""
    module, _, attribute = place.partition(":")
    if not (module and attribute):
        raise InvalidInput(f"{setting}: {place!r} is not of the form package.module:function")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        raise InvalidInput(f"{setting}: {place!r} cannot be loaded: {why}{NOT_FOUND_HINT}") from error


def installed(group: str) -> Iterator[tuple[str, str, object]]:
    """Each entry point of a group: its name, where it stands, and what it stands for. InvalidInput as above."""
    for one in entry_points(group=group):
        place = f"the entry point {one.name} = {one.value}"
        try:
            found: object = one.load()
        except Exception as error:
            raise InvalidInput(f"{place} cannot be loaded: {type(error).__name__}: {error}") from error
        yield one.name, place, found
