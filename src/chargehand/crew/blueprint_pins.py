"""The exact versions a generated service is delivered with: those it was tested with here.

Rule: a pin is never a guess; what is not installed here is not named.
"""

import re
from collections.abc import Iterable
from importlib import metadata

# Needed on some platforms only; on the others a pin without its marker could not be installed.
_MARKERS = {
    "uvloop": 'sys_platform != "win32"',
    "httptools": 'sys_platform != "win32"',
    "colorama": 'sys_platform == "win32"',
}
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?[^;]*(?:;(.*))?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


def pinned(names: Iterable[str]) -> list[str]:
    """`name==version` of each package and of all that it needs, sorted. `name[extra]` takes the extra along."""
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [_split(each) for each in names]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        marker = f" ; {_MARKERS[name]}" if name in _MARKERS else ""
        found[name] = f"{name}=={distribution.version}{marker}"
        waiting += [_split(each) for each in distribution.requires or () if _is_wanted(each, extras)]
    return [found[name] for name in sorted(found)]


def _split(requirement: str) -> tuple[str, frozenset[str]]:
    match = _REQUIREMENT.match(requirement)
    if match is None:
        return requirement, frozenset()
    extras = frozenset(each.strip() for each in (match[2] or "").split(",") if each.strip())
    return re.sub(r"[-_.]+", "-", match[1]).lower(), extras


def _is_wanted(requirement: str, extras: frozenset[str]) -> bool:
    extra = _EXTRA.search(requirement)
    return extra is None or extra[1] in extras
