"""The issuers whose tokens are taken, out of the file that the settings name.

Rule: without that setting nothing of it is imported; PyJWT and cryptography cost time and memory.
"""

from typing import TYPE_CHECKING

from chargehand.clock import Clock
from chargehand.settings import Settings

if TYPE_CHECKING:
    from chargehand.service.tokens import Tokens


def check_issuers(settings: Settings) -> None:
    """InvalidInput names the file and each fault; nothing is fetched."""
    if settings.issuers_file is not None:
        from chargehand.service.issuer_file import read_issuer_file  # noqa: PLC0415 - see the module's docstring

        read_issuer_file(settings.issuers_file)


def tokens_of(settings: Settings, clock: Clock) -> "Tokens | None":
    """Who verifies tokens; None without issuers."""
    if settings.issuers_file is None:
        return None
    from chargehand.service.issuer_file import read_issuer_file  # noqa: PLC0415 - see the module's docstring
    from chargehand.service.tokens import Tokens  # noqa: PLC0415 - as above

    return Tokens(read_issuer_file(settings.issuers_file), clock)
