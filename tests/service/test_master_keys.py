"""Where master keys come from: the settings, or the data folder of an installation that is one folder."""

import base64
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType

import pytest

from chargehand.errors import ContentDamaged, InvalidInput, MasterKeyMissing
from chargehand.service.master_keys import MasterKey, MasterKeySources, keys_of
from chargehand.store.secret_files import write_secret
from tests.service.test_vault import KEY, OTHER_KEY, OWNER, VALUE, open_, opened, seal


@pytest.fixture
def database() -> str:
    """A single folder is SQLite, and keys know no database."""
    return "sqlite"


async def test_the_first_start_makes_a_key_that_only_its_owner_may_read(tmp_path: Path) -> None:
    async with opened(tmp_path) as (vault, db):
        sealed = await seal(vault, db)

    if sys.platform != "win32":
        assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600
    async with opened(tmp_path) as (vault, db):
        assert await open_(vault, db, sealed) == VALUE


async def test_the_key_is_made_anew_while_nothing_depends_on_it_and_never_after(tmp_path: Path) -> None:
    own = tmp_path / "master.key"
    async with opened(tmp_path):
        pass
    own.unlink()
    async with opened(tmp_path) as (vault, db):
        await seal(vault, db)
    own.unlink()

    with pytest.raises(MasterKeyMissing, match=f"restore {own}"):
        async with opened(tmp_path):
            pass

    assert not own.exists()


async def test_a_named_key_seals_and_the_folders_own_still_opens(tmp_path: Path) -> None:
    async with opened(tmp_path) as (vault, db):
        old = await seal(vault, db)
    async with opened(tmp_path, KEY) as (vault, db):
        assert await open_(vault, db, old) == VALUE

        await vault.rewrap(OWNER)

    (tmp_path / "master.key").unlink()
    async with opened(tmp_path, KEY) as (vault, db):
        assert await open_(vault, db, old) == VALUE


async def test_a_wrapped_key_that_was_changed_stops_the_start(tmp_path: Path) -> None:
    async with opened(tmp_path) as (vault, db):
        await seal(vault, db)
    with closing(sqlite3.connect(tmp_path / "chargehand.db")) as rows, rows:
        rows.execute("UPDATE data_keys SET tenant = 'another'")

    with pytest.raises(ContentDamaged):
        async with opened(tmp_path):
            pass


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no key"),
        ("not base64!", "no base64"),
        ("c2hvcnQ=", "5 bytes, not of 32"),
        (base64.b64encode(b"\0" * 32).decode(), "anyone would guess"),
    ],
)
def test_a_key_that_is_none_is_refused_without_being_shown(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"^CHARGEHAND_MASTER_KEY .*{message}.*openssl rand") as refused:
        keys_of(text, "CHARGEHAND_MASTER_KEY")

    assert not text or text not in str(refused.value)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such modes")
def test_a_key_file_that_others_may_read_is_refused_with_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{KEY}\n{OTHER_KEY}\n")
    file.chmod(0o640)
    sources = MasterKeySources(file=file, own_file=tmp_path / "master.key")

    with pytest.raises(InvalidInput, match=f"chmod 600 {file}"):
        sources.configured()
    file.chmod(0o600)

    assert [key.secret for key in sources.configured()] == [base64.b64decode(one) for one in (KEY, OTHER_KEY)]


def test_a_key_file_that_is_not_there_is_told_with_its_setting(tmp_path: Path) -> None:
    sources = MasterKeySources(file=tmp_path / "absent", own_file=tmp_path / "master.key")

    with pytest.raises(InvalidInput, match=r"CHARGEHAND_MASTER_KEY_FILE: .*absent cannot be read"):
        sources.configured()


def test_a_keyring_without_its_extra_or_with_a_bad_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)

    with pytest.raises(InvalidInput, match=r"pip install 'chargehand\[keyring\]'"):
        MasterKeySources(keyring="chargehand/master", own_file=tmp_path / "m").configured()
    with pytest.raises(InvalidInput, match="of the form service/name"):
        MasterKeySources(keyring="chargehand", own_file=tmp_path / "m").configured()


def test_a_key_comes_from_the_keyring_and_what_is_wrong_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring: dict[tuple[str, str], str] = {("chargehand", "master"): KEY}
    keyring, errors = ModuleType("keyring"), ModuleType("keyring.errors")

    class Locked(Exception):
        pass

    def get_password(service: str, name: str) -> str | None:
        if service == "locked":
            raise Locked
        return ring.get((service, name))

    vars(keyring)["get_password"] = get_password
    vars(errors)["KeyringError"] = Locked
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)

    def keys(place: str) -> list[MasterKey]:
        return MasterKeySources(keyring=place, own_file=tmp_path / "m").configured()

    assert keys("chargehand/master") == keys_of(KEY, "")
    with pytest.raises(InvalidInput, match="has nothing under 'chargehand/other'; put the key there"):
        keys("chargehand/other")
    with pytest.raises(InvalidInput, match="does not answer"):
        keys("locked/master")


def test_the_first_of_all_keys_that_are_named_comes_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    write_secret(file, f"{OTHER_KEY}\n".encode())

    found = MasterKeySources(environment=KEY, file=file, own_file=tmp_path / "m").configured()

    assert found == [*keys_of(KEY, ""), *keys_of(OTHER_KEY, "")]
    assert KEY not in repr(found)


def test_a_service_that_keeps_no_secret_loads_no_cryptography(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\nfrom chargehand.app.service import open_app\nfrom chargehand.settings import Settings\n"
        "async def main():\n    async with open_app(Settings(), with_engine=False):\n"
        "        print('cryptography' in sys.modules)\nasyncio.run(main())"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CHARGEHAND_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "False"
