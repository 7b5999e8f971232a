"""Writes the lock files: one resolution for all platforms, then proof that each installs without a compiler.

Rule: the hashes are those of the public index. A mirror, a folder of wheels or an index that only one machine
knows leaves no mark, neither as an address nor as a hash.
"""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scripts import environment
from scripts.environment import LOCKS, ROOT, SetupFailed, program, say

# What the demo builds with (extras, and the backend that builds this package), then what only engineers need.
_EXTRAS = [
    "celery",
    "crew",
    "keyring",
    "mcp",
    "models",
    "mysql",
    "postgresql",
    "redis",
    "s3",
    "sandbox",
    "telemetry",
    "windows",
]
_RUN = [*(word for extra in _EXTRAS for word in ("--extra", extra)), "--group", "build"]
CONTENTS = {"run": _RUN, "dev": [*_RUN, "--group", "dev"]}
PLATFORMS = [
    "x86_64-manylinux_2_28",
    "aarch64-manylinux_2_28",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
# What the benchmark compares with, in an environment of its own: it is no part of the product.
PEERS = ROOT / "bench" / "peers" / "requirements.in"

COOLING_DAYS = 7
"""Younger files are not taken: packages that were turned against their users were mostly found out within hours."""


def write(arguments: Sequence[str]) -> int:
    """Resolve anew; versions that fit stay, unless the arguments (for `uv pip compile`) say otherwise."""
    if not program("uv").exists():
        environment.ensure("dev")
    for purpose, lock in LOCKS.items():
        say(f"resolving {lock.name}")
        # The demo and the tests get the same versions of what both need.
        same_versions = ["--constraint", LOCKS["run"].name] if purpose == "dev" else []
        resolve(ROOT / "pyproject.toml", lock, [*same_versions, *CONTENTS[purpose], *arguments])
    peers = PEERS.with_suffix(".lock")
    say(f"resolving {peers.relative_to(ROOT)}")
    resolve(PEERS, peers, arguments)
    for lock in LOCKS.values():
        for platform in PLATFORMS:
            see_that_it_installs(lock, platform)
    say(f"both install from wheels alone on {', '.join(PLATFORMS)}, Python {', '.join(PYTHONS)}")
    return 0


def resolve(wanted: Path, lock: Path, more: Sequence[str]) -> None:
    resolution = ["--universal", "--generate-hashes", "--python-version", PYTHONS[0]]
    resolution += ["--fork-strategy", "fewest"]  # one version of a package for all, where there is one
    silence = [
        "--no-emit-index-url",
        "--no-emit-find-links",
        "--custom-compile-command",
        "python3 dev.py lock",
    ]
    names = [path.relative_to(ROOT).as_posix() for path in (wanted, lock)]
    uv(
        "compile",
        *resolution,
        *silence,
        *cooling(more, datetime.now(UTC)),
        *more,
        names[0],
        "--output-file",
        names[1],
    )


def cooling(arguments: Sequence[str], now: datetime) -> list[str]:
    """What keeps young files out; nothing where the arguments say from when on themselves."""
    if any(one.partition("=")[0] == "--exclude-newer" for one in arguments):
        return []
    return ["--exclude-newer", f"{now - timedelta(days=COOLING_DAYS):%Y-%m-%dT%H:%M:%SZ}"]


def see_that_it_installs(lock: Path, platform: str) -> None:
    as_dev_does = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", lock.name]
    for python in PYTHONS:
        with tempfile.TemporaryDirectory() as empty:
            machine = ["--python-platform", platform, "--python-version", python, "--target", empty]
            uv("install", "--dry-run", *as_dev_does, *machine)


def uv(command: str, *arguments: str) -> None:
    call = [str(program("uv")), "pip", command, "--no-config", "--quiet", *arguments]
    done = subprocess.run(
        call, cwd=ROOT, env=public_index_only(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SetupFailed(f"`{' '.join(call)}` failed:\n{done.stderr.strip()}")


def public_index_only() -> Mapping[str, str]:
    """The variables without pip's and uv's own; only where the cache is may stay."""
    kept = environment.variables().items()
    return {
        name: value for name, value in kept if not name.startswith(("UV_", "PIP_")) or name == "UV_CACHE_DIR"
    }
