"""Formats rendered Python with ruff, so that the delivered code passes its own format check whatever the names are.

Rule: ruff reads texts in an empty folder of ours; nothing that was rendered is run.
"""

import subprocess
import tempfile
from pathlib import Path

from chargehand.errors import Unavailable

LINE_LENGTH = 100
_CONFIGURATION = """\
line-length = 100
target-version = "py311"
src = ["src", "."]

[lint]
select = ["I", "F401"]

[lint.isort]
known-first-party = ["{package}", "benchmarks", "docs", "security", "tests", "workbench"]
"""
_TIMEOUT_SECONDS = 60


def formatted(files: dict[str, str], *, package: str) -> dict[str, str]:
    """The same files, the Python ones with sorted imports, none of them unused, and formatted."""
    python = {path: text for path, text in files.items() if path.endswith(".py")}
    if not python:
        return files
    with tempfile.TemporaryDirectory(prefix="chargehand-format-") as folder:
        root = Path(folder)
        (root / "ruff.toml").write_text(_CONFIGURATION.format(package=package), encoding="utf-8")
        for path, text in python.items():
            target = root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
        _ruff(root, "check", "--fix", "--quiet", "--exit-zero")
        _ruff(root, "format")
        return files | {path: (root / path).read_text(encoding="utf-8") for path in python}


def _ruff(root: Path, *arguments: str) -> None:
    command = [_ruff_program(), *arguments, "--no-cache", "--config", str(root / "ruff.toml"), str(root)]
    done = subprocess.run(  # noqa: S603  our own tool with arguments of our own
        command,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=_TIMEOUT_SECONDS,
        check=False,
        cwd=root,
    )
    if done.returncode != 0:
        raise RuntimeError(f"ruff could not format what was rendered: {done.stderr or done.stdout}")


def _ruff_program() -> str:
    try:
        # In the extra `crew`; it has no type stubs.
        from ruff import find_ruff_bin  # noqa: PLC0415  # pyright: ignore[reportMissingTypeStubs]

        return find_ruff_bin()
    except (ImportError, FileNotFoundError):
        raise Unavailable("the backend crew needs ruff: install chargehand[crew]") from None
