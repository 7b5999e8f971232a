"""AES-256-GCM, bound to a place: what was sealed for one place does not open in another.

The library is imported at the first use: it costs 20 ms and some memory, which a service without secrets need not pay.
"""

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from chargehand.errors import ContentDamaged

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16


class Randomness(Protocol):
    """What nonces are made of."""

    def token_bytes(self, count: int) -> bytes:
        """Unpredictable bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Seal:
    """One key, ready to seal and to open. A nonce is random: a key is good for 2**32 values."""

    _cipher: "AESGCM" = field(repr=False)

    @staticmethod
    def of(secret: bytes) -> "Seal":
        """From a key of KEY_BYTES."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - see the module's docstring

        if len(secret) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        return Seal(AESGCM(secret))

    def seal(self, plaintext: bytes, *place: str | int, chance: Randomness) -> bytes:
        """Nonce, ciphertext and tag."""
        nonce = chance.token_bytes(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, _bound_to(place))

    def open(self, sealed: bytes, *place: str | int) -> bytes:
        """What was sealed. ContentDamaged when it was changed, or sealed for another place or with another key."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above

        if len(sealed) < NONCE_BYTES + TAG_BYTES:
            raise ContentDamaged(_DAMAGED)
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(place))
        except InvalidTag:
            raise ContentDamaged(_DAMAGED) from None


_DAMAGED = (
    "a sealed value does not open: its row was changed, or copied from elsewhere; restore it from a backup"
)


def _bound_to(place: tuple[str | int, ...]) -> bytes:
    """As JSON, so that no two places read alike."""
    return json.dumps(["chargehand", *place]).encode()
