"""Writes the software bill of materials of what is shipped: CycloneDX JSON, from the lock file and pyproject.toml.

    python3 dev.py sbom dist/chargehand.cdx.json

Every pin of requirements.lock is a component, with the hashes that an installation checks and with who needs it. The
same lock file gives the same document, but for its time (SOURCE_DATE_EPOCH sets that).
"""

import argparse
import os
import sys
import tomllib
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from scripts.environment import LOCKS, ROOT
from scripts.packages import Locked, locked

# Their classes are made by decorators that no type checker sees through.
_BOM, _COMPONENT, _PROPERTY = (cast("Any", one) for one in (Bom, Component, Property))
LONGEST_LICENSE = 100
"""Some packages have the whole text where a name is meant."""


def main(arguments: Sequence[str]) -> int:
    """Write it to the path that is given."""
    parser = argparse.ArgumentParser(prog="dev.py sbom", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path, help="the file to write")
    path: Path = parser.parse_args(arguments).path
    path.parent.mkdir(parents=True, exist_ok=True)
    bom = bill_of(LOCKS["run"])
    path.write_text(as_json(bom), encoding="utf-8")
    print(f"{path}: {len(bom.components)} components")
    return 0


def bill_of(lock: Path) -> Any:
    """The document of a lock file of this project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = locked(lock)
    licenses = LicenseFactory()
    ours = _COMPONENT(
        name=project["name"],
        version=project["version"],
        type=ComponentType.APPLICATION,
        bom_ref=project["name"],
        description=project["description"],
        purl=PackageURL("pypi", name=project["name"], version=project["version"]),
        licenses=[licenses.make_from_string(project["license"])],
    )
    components = {name: _component(one, licenses) for name, one in pins.items()}
    bom = _BOM(
        components=components.values(), serial_number=uuid.uuid5(uuid.NAMESPACE_URL, lock.read_text("utf-8"))
    )
    bom.metadata.component = ours
    bom.metadata.timestamp = datetime.fromtimestamp(
        int(os.environ.get("SOURCE_DATE_EPOCH", datetime.now(UTC).timestamp())), UTC
    )
    for name, needs in _needs(pins, ours.name).items():
        bom.register_dependency(components.get(name, ours), [components[one] for one in needs])
    return bom


def _component(one: Locked, licenses: LicenseFactory) -> Any:
    license_text = _license_of(one)
    properties = [_PROPERTY(name="chargehand:sha256", value=each) for each in one.hashes]
    if one.marker:
        properties.append(_PROPERTY(name="chargehand:marker", value=one.marker))
    return _COMPONENT(
        name=one.name,
        version=one.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{one.name}=={one.version}",
        purl=PackageURL("pypi", name=one.name, version=one.version),
        licenses=[licenses.make_from_string(license_text)] if license_text else [],
        properties=properties,
    )


def _license_of(one: Locked) -> str:
    """What the installed package says, if this very version is installed here."""
    try:
        told = metadata.metadata(one.name)
    except metadata.PackageNotFoundError:
        return ""
    fields: Any = told
    text = str(fields.get("License-Expression") or fields.get("License") or "").strip()
    return text if fields.get("Version") == one.version and len(text) <= LONGEST_LICENSE else ""


def _needs(pins: Mapping[str, Locked], ours: str) -> dict[str, list[str]]:
    """Whom each needs: the lock file says it the other way round."""
    needs: dict[str, list[str]] = {ours: [], **{name: [] for name in pins}}
    for name, one in pins.items():
        for by in one.needed_by:
            needs.setdefault(by, []).append(name)
    return {name: found for name, found in needs.items() if name == ours or name in pins}


def as_json(bom: Any) -> str:
    """The document's text."""
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
