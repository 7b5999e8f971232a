"""The virtual environment that dev.py works in: made once, brought up to date when the lock files change.

Rule: only wheels whose hash is in the lock file are installed, and a set-up that was cut short never looks
finished. Standard library only: this runs before anything is installed.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Generator
from pathlib import Path

from scripts import installing

ROOT = Path(__file__).resolve().parent.parent
# The packages that the demo needs come first: what the engineers' tools weigh, a newcomer need not wait for.
LOCKS = {"run": ROOT / "requirements.lock", "dev": ROOT / "requirements-dev.lock"}
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"

say = installing.say
SetupFailed = installing.SetupFailed


def folder() -> Path:
    return Path(os.environ.get("CHARGEHAND_VENV") or ROOT / ".venv").absolute()


def program(name: str) -> Path:
    """Where the environment keeps a program."""
    return folder() / "Scripts" / f"{name}.exe" if sys.platform == "win32" else folder() / "bin" / name


def variables() -> dict[str, str]:
    """The caller's variables, less those that would bring packages in from elsewhere or put them there."""
    unwanted = {
        "PYTHONPATH",
        "PYTHONHOME",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_ROOT",
        "PIP_NO_BINARY",
    }
    kept = {name: value for name, value in os.environ.items() if name.upper() not in unwanted}
    kept["VIRTUAL_ENV"] = str(folder())
    kept["PATH"] = str(program("python").parent) + os.pathsep + os.environ.get("PATH", os.defpath)
    return kept


def ensure(purpose: str) -> None:
    """Make the environment hold what the purpose needs; takes no time when it does."""
    if is_ready(purpose):
        return
    with one_at_a_time():
        if is_ready(purpose):  # by the process that this one waited for
            return
        started = time.monotonic()
        for each in LOCKS:
            stamp(each).unlink(missing_ok=True)
        make()
        python = [str(program("python")), "-I"]
        installing.install_locked(python, LOCKS[purpose], variables())
        installing.install_source_tree(python, ROOT, variables())
        stamp(purpose).write_text(fingerprint(purpose), encoding="utf-8")
        say(f"environment ready after {time.monotonic() - started:.0f} s")


def is_ready(purpose: str) -> bool:
    """What engineers need includes what the demo needs."""
    made = program("python").exists()
    return made and any(content_of(stamp(each)) == fingerprint(each) for each in (purpose, "dev"))


def stamp(purpose: str) -> Path:
    return folder() / f"chargehand-{purpose}.stamp"


def fingerprint(purpose: str) -> str:
    """Differs when the environment has to be brought up to date."""
    inputs = LOCKS[purpose].read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    return f"{hashlib.sha256(inputs).hexdigest()} {ROOT} {identity()}"


def identity() -> str:
    """Which environment it is: its programs hold its path, its packages are of one Python version."""
    return f"{PYTHON} {folder()}"


def content_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


@contextlib.contextmanager
def one_at_a_time() -> Generator[None]:
    """Two set-ups of one environment wait for each other; a process that dies frees the lock."""
    path = folder().with_name(f"{folder().name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if not take_lock(file.fileno(), wait=False):
            say(f"another dev.py is making {folder()}: waiting for it")
            while not take_lock(file.fileno(), wait=True):
                pass  # Windows gives up after ten seconds
        yield


if sys.platform == "win32":
    import msvcrt

    def take_lock(descriptor: int, *, wait: bool) -> bool:
        os.lseek(descriptor, 0, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        except OSError as failure:
            if failure.errno in {errno.EACCES, errno.EDEADLK}:
                return False
            raise
        return True

else:
    import fcntl

    def take_lock(descriptor: int, *, wait: bool) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def make() -> None:
    """An environment with pip, of the Python that runs this; one that others made is never removed."""
    mark = folder() / "chargehand-environment"
    if program("python").exists() or program("python").is_symlink():
        version = answer("import sys; print('%d.%d' % sys.version_info[:2])")
        if version == PYTHON and content_of(mark) in {None, identity()}:
            return put_pip_in()
        if not mark.exists():
            raise SetupFailed(f"{folder()} is of Python {version}, this is {PYTHON}: {WAY_OUT}")
        say(f"{folder()} is of another Python or was moved: making it anew")
        shutil.rmtree(folder())
    elif folder().exists() and not mark.exists() and any(folder().iterdir()):
        raise SetupFailed(f"{folder()} is no virtual environment: {WAY_OUT}")
    say(f"making {folder()} with Python {PYTHON}")
    folder().mkdir(parents=True, exist_ok=True)
    mark.write_text(identity(), encoding="utf-8")
    # Without pip: Debian splits ensurepip off, and venv would then leave half an environment behind.
    venv.EnvBuilder(with_pip=False, symlinks=sys.platform != "win32").create(folder())
    return put_pip_in()


WAY_OUT = "remove it, or name another folder in CHARGEHAND_VENV."


def put_pip_in() -> None:
    """From Python's own bundle, else with the pip of the Python that runs this file."""
    if answer("import pip") is not None:
        return
    ways = [
        [program("python"), "-I", "-m", "ensurepip", "--upgrade", "--default-pip"],
        [sys.executable, "-m", "pip", "--python", program("python"), "install", "--quiet", "pip"],
    ]
    if not any(
        subprocess.run(way, capture_output=True, env=variables(), check=False).returncode == 0 for way in ways
    ):
        raise SetupFailed(
            f"this Python ({sys.executable}) has no pip and cannot make one. On Debian and Ubuntu: "
            "`sudo apt install python3-venv`; elsewhere take a Python from python.org."
        )


def answer(code: str) -> str | None:
    """What the environment's Python prints for the code; None where it fails or does not start."""
    command = [program("python"), "-I", "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
