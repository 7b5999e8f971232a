"""What a lock file pins: versions, and who asked for them. Standard library only, as all that runs before a set-up."""

import re
from dataclasses import dataclass
from pathlib import Path

_PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^\s;]+)(?: ; (?P<marker>.*?))?\s*\\?$")
_NEEDED_BY = re.compile(r"^    # +(?:via +)?(?P<name>[a-z0-9][a-z0-9.-]*)(?: \(.*\))?$")
_HASH = re.compile(r"--hash=sha256:(?P<hash>[0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One pinned package."""

    name: str
    version: str
    marker: str
    """For which systems; empty for all."""
    needed_by: tuple[str, ...]
    """Packages, `chargehand` itself among them."""
    hashes: tuple[str, ...]


def locked(lock: Path) -> dict[str, Locked]:
    """By name, in the file's order."""
    found: dict[str, Locked] = {}
    for block in re.split(r"(?m)^(?=[a-z0-9])", lock.read_text(encoding="utf-8")):
        first, *rest = block.splitlines() or [""]
        pin = _PIN.match(first)
        if pin is not None:
            found[pin["name"]] = Locked(
                name=pin["name"],
                version=pin["version"],
                marker=pin["marker"] or "",
                needed_by=tuple(
                    match["name"]
                    for line in rest
                    if (match := _NEEDED_BY.match(line)) and match["name"] != "via"
                ),
                hashes=tuple(_HASH.findall(block)),
            )
    return found
