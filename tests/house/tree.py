"""The files of this repository that people write, for the rules that hold in all of them."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLUEPRINTS = ROOT / "src" / "chargehand" / "crew" / "blueprints"
_FOLDERS = (
    "src",
    "tests",
    "scripts",
    "bench",
    "chaos",
    "review",
    "docs",
    "examples",
    "packaging",
    ".ci",
    ".vscode",
)
_MADE_BY_PROGRAMS = {"__pycache__", "results", ".hypothesis", ".venv.lock", ".coverage"}


def written_files(*suffixes: str) -> Iterator[Path]:
    """Every file below the project's folders and beside them, or those with one of the suffixes."""
    inside = (path for folder in _FOLDERS for path in (ROOT / folder).rglob("*"))
    for path in sorted((*ROOT.iterdir(), *inside)):
        made_by_programs = _MADE_BY_PROGRAMS & {*path.parts}
        if path.is_file() and not made_by_programs and (not suffixes or path.suffix in suffixes):
            yield path


def our_python() -> Iterator[Path]:
    """Python that this project runs; blueprints are text that becomes another project's."""
    return (path for path in written_files(".py") if not path.is_relative_to(BLUEPRINTS))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")
