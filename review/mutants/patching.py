"""Puts the changed source of a module into a process that has imported the module already.

Rule: functions get their new code, wherever somebody holds them; what the module makes once is made anew, and put in
its place wherever it was imported by its name. A module that is not imported yet is read from the copy later.
"""

import dis
import gc
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

_IS_FUNCTION = 0x1
"""CO_OPTIMIZED: the bodies of modules and classes do not have it."""


class CannotPatch(Exception):
    """What has changed is in the body of a class, or the new code does not fit where the old one is held."""


def patch(package: Path, module: str, before: str, after: str, *, makes_anew: bool = False) -> None:
    """Change a module of the package from one source to the other. With `makes_anew` its values in any case.

    CannotPatch, and whatever the module itself raises where it can no longer be imported.
    """
    path = package / module
    name = ".".join((package.name, *path.relative_to(package).with_suffix("").parts))
    there = sys.modules.get(name)
    if there is None:
        return
    old, new = (compile(source, str(path), "exec") for source in (before, after))
    if _bodies(old)[1:] != _bodies(new)[1:]:
        raise CannotPatch(f"{module}: in the body of a class")
    if makes_anew or _bodies(old) != _bodies(new) or _makes_values_with_what_changed(old, new):
        _make_anew(there, new)
    _swap(old, new)


def changes_values(before: str, after: str) -> bool:
    """Whether something is changed that the module makes once, when it is imported."""
    old, new = (compile(source, "", "exec") for source in (before, after))
    return _bodies(old) != _bodies(new) or _makes_values_with_what_changed(old, new)


def _bodies(code: CodeType) -> list[tuple[Any, ...]]:
    """What the module's own body does, and then those of its classes, without the functions in them."""
    plain = tuple(repr(one) for one in code.co_consts if not isinstance(one, CodeType))
    found: list[tuple[Any, ...]] = [(code.co_name, code.co_code, code.co_names, plain)]
    for one in code.co_consts:
        if isinstance(one, CodeType) and not one.co_flags & _IS_FUNCTION:
            found += _bodies(one)
    return found


def _makes_values_with_what_changed(old: CodeType, new: CodeType) -> bool:
    """Whether the module calls a changed function of its own while it is imported."""
    used = {one.argval for one in dis.get_instructions(old) if one.opname == "LOAD_NAME"}
    successors = _by_name(new)
    # Of classes only a module's own: what others know are instances of the class that was imported.
    makers = {one for one in used if one.startswith("_") or one in _by_name(old)}
    return any(
        name.partition(".")[0] in makers and codes != successors[name]
        for name, codes in _by_name(old).items()
    )


def _make_anew(there: ModuleType, code: CodeType) -> None:
    fresh: dict[str, Any] = {
        name: value for name, value in vars(there).items() if name.startswith("__") and name.endswith("__")
    }
    exec(code, fresh)  # noqa: S102 - a module of our own, as an import would
    before = dict(vars(there))
    for name, value in fresh.items():
        if name.startswith("__") or callable(value) or isinstance(value, ModuleType):
            continue
        setattr(there, name, value)
        for module in list(sys.modules.values()):
            if name in before and getattr(module, "__dict__", {}).get(name) is before[name]:
                setattr(module, name, value)


def _swap(old: CodeType, new: CodeType) -> None:
    places: dict[tuple[str, int], CodeType] = {}
    successors = _by_name(new)
    for name, codes in _by_name(old).items():
        if len(codes) == len(successors[name]):
            places |= {
                (name, code.co_firstlineno): after
                for code, after in zip(codes, successors[name], strict=True)
            }
    gc.unfreeze()  # what is frozen is not among the objects
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename == old.co_filename:
            code = places.get((one.__code__.co_qualname, one.__code__.co_firstlineno))
            if code is not None:
                try:
                    one.__code__ = code
                except ValueError as error:
                    raise CannotPatch(str(error)) from error


def _by_name(code: CodeType) -> dict[str, list[CodeType]]:
    """The functions of modules and classes as they stand in the source; what is made inside of them comes with them."""
    found: dict[str, list[CodeType]] = defaultdict(list)
    for one in _functions(code):
        found[one.co_qualname].append(one)
    return found


def _functions(code: CodeType) -> Iterator[CodeType]:
    for one in code.co_consts:
        if isinstance(one, CodeType) and one.co_flags & _IS_FUNCTION:
            yield one
        elif isinstance(one, CodeType):
            yield from _functions(one)
