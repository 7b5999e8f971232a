"""The lock files: every file by its hash, no address, and up to date with pyproject.toml."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts.environment import LOCKS
from scripts.lock import CONTENTS, PEERS
from tests.house.tree import ROOT, text_of

_PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>\S+)")
_both = pytest.mark.parametrize("purpose", sorted(LOCKS))


def blocks(lock: Path) -> Iterator[str]:
    """One per package: its pin, its hashes and who needs it."""
    return (block for block in re.split(r"(?m)^(?=[a-z0-9])", text_of(lock)) if not block.startswith("#"))


def pins(lock: Path) -> dict[str, Version]:
    found = (_PIN.match(block) for block in blocks(lock))
    return {match["name"]: Version(match["version"]) for match in found if match}


@_both
def test_every_locked_package_has_one_version_and_its_hashes(purpose: str) -> None:
    names: list[str] = []
    for block in blocks(LOCKS[purpose]):
        pin = _PIN.match(block)

        assert pin, f"no exact version: {block.splitlines()[0]}"
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), f"no hash: {pin['name']}"
        names.append(pin["name"])

    assert len(names) > 40
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "lock", [*LOCKS.values(), PEERS.with_suffix(".lock")], ids=lambda lock: lock.parent.name
)
def test_a_lock_file_names_no_address_and_no_folder(lock: Path) -> None:
    beside_the_hashes = re.sub(r"--hash=\S+", "", text_of(lock))

    assert not re.search(r"://|--index|--find-links|--extra| @ |file:|(?m:^\s*/)", beside_the_hashes)


@_both
def test_the_lock_holds_what_the_project_asks_for(purpose: str) -> None:
    locked = pins(LOCKS[purpose])

    for wanted in wanted_by_the_project(purpose):
        name = canonicalize_name(wanted.name)
        assert name in locked, f"{LOCKS[purpose].name} lacks {wanted}: run `python3 dev.py lock`"
        assert wanted.specifier.contains(locked[name]), (
            f"{name} {locked[name]} is not {wanted}: `python3 dev.py lock`"
        )


def test_the_demo_and_the_tests_use_the_same_versions() -> None:
    dev = pins(LOCKS["dev"])

    assert {name: dev.get(name) for name in pins(LOCKS["run"])} == pins(LOCKS["run"])


def test_what_the_benchmark_compares_with_is_locked_by_itself() -> None:
    lock = PEERS.with_suffix(".lock")
    locked = pins(lock)
    wanted = [Requirement(line) for line in text_of(PEERS).splitlines() if line and not line.startswith("#")]

    assert wanted
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}\b", block) for block in blocks(lock))
    for one in wanted:
        assert one.specifier.contains(locked[canonicalize_name(one.name)]), (
            f"{one}: run `python3 dev.py lock`"
        )


def wanted_by_the_project(purpose: str) -> Iterator[Requirement]:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))
    contents = CONTENTS[purpose]
    texts: list[str] = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    for kind, name in zip(contents[::2], contents[1::2], strict=True):
        table = {
            "--extra": project["project"]["optional-dependencies"],
            "--group": project["dependency-groups"],
        }
        texts += table[kind][name]
    return (Requirement(text) for text in texts)
