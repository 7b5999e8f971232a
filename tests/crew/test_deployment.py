"""The part `deployment`: what can be run here is run, what cannot is at least read by a parser of its language."""

import shutil
import socket
import sqlite3
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chargehand.crew.blueprint import render
from chargehand.crew.specification import ServiceSpecification
from tests.crew.languages import powershell_errors
from tests.crew.projects import RUNNING, bookstore, run, shop, tiny, write

_all = pytest.mark.parametrize("spec", [bookstore(), shop(), tiny()], ids=lambda spec: spec.name)
_linux = pytest.mark.skipif(sys.platform != "linux", reason="the scripts are for Linux")
_ANALYZE = shutil.which("systemd-analyze") or ""
_BASH = shutil.which("bash") or ""
_PACKAGES = sysconfig.get_paths()["purelib"]
_PYTHON = getattr(sys, "_base_executable", sys.executable)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pro ject")
    return write(bookstore(), folder, *RUNNING, "deployment")


@_all
@_linux
def test_shell_scripts_are_clean_under_shellcheck(spec: ServiceSpecification, tmp_path: Path) -> None:
    project = write(spec, tmp_path, "deployment")
    scripts = sorted(project.rglob("*.sh"))
    shellcheck = Path(sys.executable).with_name("shellcheck")

    done = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)

    assert len(scripts) == 3
    assert done.returncode == 0, done.stdout


@_all
def test_powershell_scripts_parse_and_are_ascii(spec: ServiceSpecification) -> None:
    scripts = {path: text for path, text in render(spec, "deployment").items() if path.endswith(".ps1")}

    assert len(scripts) == 5
    for path, text in scripts.items():
        assert powershell_errors(text.encode()) == [], path
        # Windows PowerShell 5.1 reads a file without a mark in the machine's own code page.
        assert text.isascii(), path


def test_the_powershell_parser_sees_a_broken_script() -> None:
    assert powershell_errors(b"function Test { param( [string] $Name }\n")


@_all
def test_every_powershell_entry_point_has_help_and_those_that_change_something_know_what_if(
    spec: ServiceSpecification,
) -> None:
    scripts = {
        path: text for path, text in render(spec, "deployment").items() if path.endswith("-Service.ps1")
    }

    for path, text in scripts.items():
        assert ".SYNOPSIS\n" in text
        assert ".EXAMPLE\n" in text
        assert "[CmdletBinding(" in text
        assert path.endswith("Test-Service.ps1") or "SupportsShouldProcess" in text


@_linux
@pytest.mark.skipif(not _ANALYZE, reason="systemd-analyze is not installed")
@_all
def test_the_systemd_unit_is_valid_and_hardened(spec: ServiceSpecification, tmp_path: Path) -> None:
    project = write(spec, tmp_path, "deployment")
    unit = tmp_path / f"{spec.name}.service"
    text = (project / "deploy/linux/systemd.service").read_text(encoding="utf-8")
    # The program is there only once the service is installed.
    unit.write_text(text.replace(f"/opt/{spec.name}/current/venv/bin/python", _PYTHON), encoding="utf-8")

    verified = subprocess.run([_ANALYZE, "verify", str(unit)], capture_output=True, text=True, check=False)
    rated = subprocess.run(
        [_ANALYZE, "security", "--offline=yes", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert verified.returncode == 0, verified.stderr
    assert f"{unit.name}:" not in verified.stderr
    assert rated.returncode == 0, rated.stdout[-300:]


@_linux
class TestInstalling:
    """`install.sh`, staged into a folder: everything but accounts and systemd really happens."""

    def install(self, project: Path, destination: Path, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(_BASH, project / "deploy/linux/install.sh", "--python", _PYTHON, "--system-packages"),
                *("--destination", str(destination), *options),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": _PACKAGES},
        )

    def test_a_first_installation_an_upgrade_and_one_that_fails(self, project: Path, tmp_path: Path) -> None:
        destination = tmp_path / "ma chine"
        database = destination / "var/lib/bookstore/bookstore.db"
        settings = destination / "etc/bookstore/bookstore.env"
        current = destination / "opt/bookstore/current"
        backups = destination / "var/backups/bookstore"

        first = self.install(project, destination, "--port", "8123")
        assert first.returncode == 0, first.stderr
        assert settings.stat().st_mode & 0o777 == 0o640
        assert "--port 8123" in (destination / "etc/systemd/system/bookstore.service").read_text()
        add_author(database)
        secrets, release = settings.read_text(), current.resolve()

        second = self.install(renewed(project, tmp_path / "second", "2.0.0"), destination)
        assert second.returncode == 0, second.stderr
        assert settings.read_text() == secrets
        assert current.resolve() != release
        assert len(list(backups.glob("*.db"))) == 1
        assert authors(database) == 1
        release = current.resolve()

        broken = renewed(project, tmp_path / "broken", "3.0.0")
        migration = broken / "src/bookstore/migrations/versions/0001_initial.py"
        migration.write_text(migration.read_text().replace('revision = "0001"', 'revision = "0002"'))
        third = self.install(broken, destination)
        assert third.returncode == 1
        assert "the release from before runs again" in third.stderr
        assert current.resolve() == release
        assert authors(database) == 1

    def test_a_dry_run_changes_nothing(self, project: Path, tmp_path: Path) -> None:
        done = self.install(project, tmp_path / "machine", "--dry-run")

        assert done.returncode == 0, done.stderr
        assert "'migrate'" in done.stdout
        assert not (tmp_path / "machine").exists()

    @pytest.mark.parametrize("port", ["0", "65536", "http", ""])
    def test_a_port_that_is_none_is_refused(self, project: Path, tmp_path: Path, port: str) -> None:
        done = self.install(project, tmp_path / "machine", "--port", port)

        assert done.returncode == 1
        assert "--port" in done.stderr
        assert not (tmp_path / "machine").exists()

    def test_an_unknown_option_is_refused(self, project: Path, tmp_path: Path) -> None:
        done = self.install(project, tmp_path / "machine", "--prot", "80")

        assert done.returncode == 1
        assert "does not know --prot" in done.stderr


def renewed(project: Path, folder: Path, version: str) -> Path:
    """A copy of the project as its next version."""
    shutil.copytree(project, folder)
    script = folder / "deploy/linux/install.sh"
    script.write_text(script.read_text().replace("releases/1.0.0-", f"releases/{version}-"))
    return folder


def add_author(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            "INSERT INTO authors (id, created_at, updated_at, version, name) VALUES ('1', '2026', '2026', 1, 'Ada')"
        )


def authors(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        return int(connection.execute("SELECT count(*) FROM authors").fetchone()[0])


class TestBackingUp:
    """`backup.py`, on a database in use."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Path:
        path = tmp_path / "settings.env"
        path.write_text(
            "# settings\nBOOKSTORE_DATABASE_URL=sqlite+aiosqlite:///./kept.db\n", encoding="utf-8"
        )
        return path

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(tmp_path / "kept.db")) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE words (word)")
            connection.execute("INSERT INTO words VALUES ('before')")
            connection.commit()
            yield connection

    def backup(self, project: Path, settings: Path, *command: str) -> subprocess.CompletedProcess[str]:
        script = str(project / "deploy/backup.py")
        return run(settings.parent, script, "--settings", str(settings), *command)

    def test_a_backup_of_a_database_in_use_is_whole(
        self, project: Path, settings: Path, database: sqlite3.Connection
    ) -> None:
        done = self.backup(project, settings, "create", "--to", "backups")

        assert done.returncode == 0, done.stderr
        with closing(sqlite3.connect(settings.parent / done.stdout.strip())) as copy:
            assert copy.execute("SELECT word FROM words").fetchall() == [("before",)]

    def test_a_database_in_use_is_not_replaced(
        self, project: Path, settings: Path, database: sqlite3.Connection
    ) -> None:
        made = self.backup(project, settings, "create", "--to", "backups").stdout.strip()
        database.execute("SELECT * FROM words").fetchall()

        done = self.backup(project, settings, "restore", made)

        assert done.returncode == 1
        assert "stop the service first" in done.stderr

    def test_restoring_brings_the_rows_back_and_keeps_what_was_there(
        self, project: Path, settings: Path, database: sqlite3.Connection
    ) -> None:
        made = self.backup(project, settings, "create", "--to", "backups").stdout.strip()
        database.execute("INSERT INTO words VALUES ('after')")
        database.commit()
        database.close()

        done = self.backup(project, settings, "restore", made)

        assert done.returncode == 0, done.stderr
        with closing(sqlite3.connect(settings.parent / "kept.db")) as restored:
            assert restored.execute("SELECT word FROM words").fetchall() == [("before",)]
        (kept,) = settings.parent.glob("kept.before-restore-*.db")
        with closing(sqlite3.connect(kept)) as before:
            assert before.execute("SELECT count(*) FROM words").fetchone() == (2,)

    def test_a_damaged_backup_is_refused(
        self, project: Path, settings: Path, database: sqlite3.Connection
    ) -> None:
        damaged = settings.parent / "damaged.db"
        damaged.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4096)
        database.close()

        done = self.backup(project, settings, "restore", str(damaged))

        assert done.returncode == 1
        assert "not a whole database" in done.stderr

    def test_settings_that_name_no_file_are_told(self, project: Path, settings: Path) -> None:
        settings.write_text("BOOKSTORE_DATABASE_URL=postgresql+asyncpg://db/bookstore\n", encoding="utf-8")

        done = self.backup(project, settings, "create", "--to", "backups")

        assert done.returncode == 1
        assert "names no SQLite file" in done.stderr


_HOSTED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from hosting import HostedServer
server = HostedServer(Path(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[3]))
server.start()
sys.stdin.readline()
server.stop()
sys.exit(0 if server.wait(seconds=20) else 1)
"""


def test_the_hosted_server_serves_logs_to_files_and_stops(project: Path, tmp_path: Path) -> None:
    """What the Windows service does, without Windows: the probe finds it ready, then it ends in peace."""
    for command in ("init", "migrate"):
        assert run(tmp_path, str(project / "manage.py"), command).returncode == 0
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    arguments = [sys.executable, "-c", _HOSTED, str(project / "deploy/windows"), str(tmp_path), port]

    with subprocess.Popen(arguments, stdin=subprocess.PIPE) as hosted:
        probe = run(project, "deploy/probe.py", "--url", f"http://127.0.0.1:{port}", "--seconds", "30")
        hosted.communicate(b"stop\n", timeout=30)

    assert probe.returncode == 0, probe.stderr
    assert hosted.returncode == 0
    assert '"/health/ready"' in (tmp_path / "logs/bookstore.log").read_text(encoding="utf-8")


def test_the_probe_says_what_is_wrong_when_nothing_answers(project: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    done = run(project, "deploy/probe.py", "--url", f"http://127.0.0.1:{port}", "--seconds", "0")

    assert done.returncode == 1
    assert "not ready" in done.stderr


@_all
def test_the_instructions_cover_both_systems_and_say_what_was_not_run(spec: ServiceSpecification) -> None:
    text = render(spec, "deployment")["deploy/README.md"]

    for word in ("## Linux", "## Windows", "**Upgrade**", "**Roll back**", "**Uninstall**", "**not run**"):
        assert word in text
