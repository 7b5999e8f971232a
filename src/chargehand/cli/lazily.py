"""Modules that are loaded when first used, so that `--help` starts no part of the service."""

from importlib import import_module
from typing import Any


class Lazily:
    """Stands for a module; `if TYPE_CHECKING` imports the real one beside it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)
