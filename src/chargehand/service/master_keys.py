"""Where the master keys are: the environment, a file, the keyring of the operating system, the data folder.

Rule: the first key that is found seals, all of them open; so a key is changed by putting the new one before the old.
A key is never made where something depends on one that is gone, and never where several hosts would each make their
own.
"""

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chargehand.errors import InvalidInput
from chargehand.service.sealing import KEY_BYTES
from chargehand.store.secret_files import read_secret

OWN_FILE = "master.key"
"""In the data folder of an installation that is one folder."""
HOW_TO_MAKE_ONE = "make one with `openssl rand -base64 32`"
_SETTINGS = "CHARGEHAND_MASTER_KEY_FILE, CHARGEHAND_MASTER_KEY or CHARGEHAND_MASTER_KEY_KEYRING"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A key that data keys are wrapped with. Its id tells nothing of it."""

    secret: bytes = field(repr=False)

    @property
    def id(self) -> str:
        """What rows name it by."""
        return hashlib.sha256(b"chargehand master key\0" + self.secret).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKeySources:
    """What the settings say, and where the key of a single folder lies."""

    environment: str | None = field(default=None, repr=False)
    file: Path | None = None
    keyring: str | None = None
    own_file: Path

    def configured(self) -> list[MasterKey]:
        """The keys that the operator names, the one that seals first. InvalidInput names the setting that is wrong."""
        keys: list[MasterKey] = []
        if self.environment is not None:
            keys += keys_of(self.environment, "CHARGEHAND_MASTER_KEY")
        if self.file is not None:
            keys += keys_of(_text_of(self.file), f"CHARGEHAND_MASTER_KEY_FILE: {self.file}")
        if self.keyring is not None:
            keys += keys_of(_from_keyring(self.keyring), "CHARGEHAND_MASTER_KEY_KEYRING")
        return keys

    def own(self) -> list[MasterKey]:
        """The data folder's own key, if it has one."""
        content = read_secret(self.own_file)
        return [] if content is None else keys_of(content.decode("ascii", "replace"), str(self.own_file))

    def advice(self) -> str:
        """How to bring a key that is missing."""
        return f"set {_SETTINGS} to the key ({HOW_TO_MAKE_ONE}), the same for every process"


def keys_of(text: str, where: str) -> list[MasterKey]:
    """Keys in base64, between commas or white space. InvalidInput, which never shows what was there instead."""
    words = text.replace(",", " ").split()
    if not words:
        raise InvalidInput(f"{where} holds no key; {HOW_TO_MAKE_ONE}")
    keys: list[MasterKey] = []
    for word in words:
        try:
            secret = base64.b64decode(word, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput(f"{where} holds what is no base64; {HOW_TO_MAKE_ONE}") from None
        if len(secret) != KEY_BYTES:
            raise InvalidInput(
                f"{where} holds a key of {len(secret)} bytes, not of {KEY_BYTES}; {HOW_TO_MAKE_ONE}"
            )
        if len(set(secret)) == 1:
            raise InvalidInput(f"{where} holds a key that anyone would guess; {HOW_TO_MAKE_ONE}")
        keys.append(MasterKey(secret))
    return keys


def text_of(keys: Sequence[MasterKey]) -> bytes:
    """As a file has them."""
    return b"".join(base64.b64encode(key.secret) + b"\n" for key in keys)


def _text_of(file: Path) -> str:
    """The file's text. A file that others may read holds no secret."""
    try:
        if os.name == "posix" and stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise InvalidInput(
                f"CHARGEHAND_MASTER_KEY_FILE: {file} can be read by others; run `chmod 600 {file}`"
            )
        return file.read_text("ascii", "replace")
    except OSError as error:
        raise InvalidInput(
            f"CHARGEHAND_MASTER_KEY_FILE: {file} cannot be read ({error.strerror}); correct the path, or give"
            " this user access"
        ) from error


def _from_keyring(place: str) -> str:
    service, slash, name = place.partition("/")
    if not (service and slash and name):
        raise InvalidInput("CHARGEHAND_MASTER_KEY_KEYRING is of the form service/name")
    try:
        import keyring  # noqa: PLC0415 - an extra
        from keyring.errors import KeyringError  # noqa: PLC0415 - as above
    except ImportError:
        raise InvalidInput(
            "CHARGEHAND_MASTER_KEY_KEYRING needs the extra: pip install 'chargehand[keyring]'"
        ) from None
    try:
        found = keyring.get_password(service, name)
    except KeyringError as error:
        raise InvalidInput(
            f"CHARGEHAND_MASTER_KEY_KEYRING: the keyring does not answer ({type(error).__name__}); unlock it, or"
            " use CHARGEHAND_MASTER_KEY_FILE"
        ) from error
    if found is None:
        raise InvalidInput(
            f"CHARGEHAND_MASTER_KEY_KEYRING: the keyring has nothing under {place!r}; put the key there with"
            f" `keyring set {service} {name}`"
        )
    return found
