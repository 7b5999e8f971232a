"""Units, containers and launchd: read by parsers, and everything that they name is really there."""

import plistlib
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.operate.shipped import PACKAGING, ROOT, SETTINGS, parsed_by_the_program, unit_fields

UNITS = sorted((PACKAGING / "systemd").glob("*.service"))
_ANALYZE = shutil.which("systemd-analyze") or ""
_units = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)


def fields(unit: Path) -> list[tuple[str, str, str]]:
    return list(unit_fields(unit.read_text(encoding="utf-8")))


def test_a_command_that_is_none_is_seen() -> None:
    for wrong in ("sreve", "serve --prot 1", "worker --slots none", "db", "service install --start never"):
        with pytest.raises(ValueError, match=wrong.split()[0]):
            parsed_by_the_program(wrong)
    assert parsed_by_the_program("db upgrade") == "db upgrade"


@_units
def test_a_unit_starts_a_command_that_there_is_with_settings_that_there_are(unit: Path) -> None:
    service = [(name, value) for section, name, value in fields(unit) if section == "Service"]

    (start,) = [value for name, value in service if name == "ExecStart"]
    program, _, arguments = start.partition(" ")
    assert program == "/opt/chargehand/bin/chargehand"
    assert parsed_by_the_program(arguments.replace("%i", "1"))
    given = re.findall(
        r"(CHARGEHAND_\w+)=", " ".join(value for name, value in service if name == "Environment")
    )
    assert given
    assert set(given) <= SETTINGS
    commented = re.findall(r"(CHARGEHAND_\w+)[=:]", unit.read_text("utf-8"))
    assert set(commented) <= SETTINGS


def test_all_units_are_hardened_alike() -> None:
    common = [
        [
            (name, value)
            for section, name, value in fields(unit)
            if section == "Service" and "Exec" not in name
        ]
        for unit in UNITS
    ]

    assert len(UNITS) == 3
    assert common[0] == common[1] == common[2]
    values = dict(common[0])
    expected = {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "",
        "Type": "notify",
    }
    assert {name: values[name] for name in expected} == expected
    # Each of them would take the sandbox level `strict` away; see the comment in the units.
    for name in ("ProtectKernelTunables", "ProtectKernelLogs", "ProtectHostname", "MemoryDenyWriteExecute"):
        assert name not in values


def with_this_python(unit: Path, folder: Path, more: str = "") -> Path:
    """The unit with a program that is on this machine, and more lines in [Service]."""
    text = unit.read_text(encoding="utf-8").replace("/opt/chargehand/bin/chargehand", sys.executable)
    # Of systemd 254; older ones tell that they pass it over.
    text = text.replace("DelegateSubgroup=service\n", more)
    written = folder / unit.name.replace("@", "@1")
    written.write_text(text, encoding="utf-8")
    return written


@pytest.mark.skipif(not _ANALYZE, reason="systemd-analyze is not installed")
@_units
def test_systemd_finds_no_fault_in_a_unit_and_rates_it_as_the_page_says(unit: Path, tmp_path: Path) -> None:
    written = with_this_python(unit, tmp_path)

    verified = subprocess.run([_ANALYZE, "verify", str(written)], capture_output=True, text=True, check=False)

    assert f"{written.name}:" not in verified.stderr, verified.stderr
    assert rating(written) <= told_rating("the units"), "docs/operate/install.md tells a better rating"


@pytest.mark.skipif(not _ANALYZE, reason="systemd-analyze is not installed")
def test_the_drop_in_makes_the_rating_that_the_page_says(tmp_path: Path) -> None:
    drop_in = unit_fields((PACKAGING / "systemd/restricted.conf").read_text("utf-8"))
    more = "".join(f"{name}={value}\n" for _, name, value in drop_in)

    written = with_this_python(UNITS[0], tmp_path, more)

    assert rating(written) <= told_rating("with `restricted.conf`")
    assert set(re.findall(r"CHARGEHAND_\w+", more)) <= SETTINGS


def rating(unit: Path) -> float:
    """The exposure that systemd reckons, 0 to 10."""
    done = subprocess.run(
        [_ANALYZE, "security", "--offline=yes", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])


def told_rating(of: str) -> float:
    page = (ROOT / "docs/operate/install.md").read_text(encoding="utf-8")
    found = re.search(rf"^\| {re.escape(of)} \| ([\d.]+) \|", page, re.MULTILINE)
    assert found, f"docs/operate/install.md has no rating of {of}"
    return float(found[1])


def test_launchd_is_told_a_command_that_there_is() -> None:
    plist = plistlib.loads((PACKAGING / "launchd/chargehand.plist").read_bytes())

    assert parsed_by_the_program(plist["ProgramArguments"][1:]) == "serve"
    assert set(plist["EnvironmentVariables"]) <= SETTINGS


DOCKER = PACKAGING / "docker"
INSTRUCTIONS = {
    "FROM", "WORKDIR", "ENV", "RUN", "COPY", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK",
    "ENTRYPOINT", "CMD",
}  # fmt: skip


def instructions() -> list[tuple[str, str]]:
    text = (DOCKER / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", "", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def test_the_dockerfile_copies_what_is_there_and_runs_as_nobody_special() -> None:
    found = instructions()
    allowed = (DOCKER / "Dockerfile.dockerignore").read_text("utf-8").splitlines()

    assert {name for name, _ in found} <= INSTRUCTIONS
    for name, rest in found:
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source.removeprefix('./')}" in allowed
    users = [rest for name, rest in found if name == "USER"]
    assert users == ["10001:10001"]
    given = re.findall(r"CHARGEHAND_\w+", " ".join(rest for name, rest in found if name == "ENV"))
    assert set(given) <= SETTINGS
    assert ("ENTRYPOINT", '["chargehand"]') in found
    assert parsed_by_the_program(yaml.safe_load(dict(found)["CMD"])) == "serve"
    health = re.sub(r"^.*CMD ", "", dict(found)["HEALTHCHECK"])
    compile(yaml.safe_load(health)[2], "healthcheck", "exec")


@pytest.fixture
def compose() -> dict[str, Any]:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))


def test_compose_runs_commands_and_sets_settings_that_there_are(compose: dict[str, Any]) -> None:
    ours = {name: one for name, one in compose["services"].items() if one["image"] == "chargehand"}

    assert {name: parsed_by_the_program(one["command"]) for name, one in ours.items()} == {
        "service": "serve", "worker": "worker", "upkeep": "upkeep", "upgrade": "db upgrade",
    }  # fmt: skip
    for one in ours.values():
        assert set(one["environment"]) <= SETTINGS
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["user"] == "10001:10001"
        assert (DOCKER / one["build"]["context"] / one["build"]["dockerfile"]).is_file()
    assert ours["worker"]["deploy"] == {"replicas": 2}
    assert ours["service"]["ports"] == ["127.0.0.1:8700:8700"], "only this machine's proxy gets in"


def test_compose_gives_secrets_as_files_and_names_nothing_that_is_not_declared(
    compose: dict[str, Any],
) -> None:
    services = compose["services"].values()
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")

    used = {secret for one in services for secret in one.get("secrets", ())}
    assert used == set(compose["secrets"])
    assert used & SETTINGS == {"CHARGEHAND_DATABASE_URL"}
    named = {volume.split(":")[0] for one in services for volume in one.get("volumes", ())}
    assert named == set(compose["volumes"])
    for one in services:
        assert set(one.get("depends_on", ())) <= set(compose["services"])
    assert not re.search(r"(?im)^\s*\w*(password|key|token)\w*:\s*[^\s/{]", text), (
        "a secret stands in the file"
    )
