"""The address of a server beside the database, such as Redis or a broker: read, and shown without its password."""

import re
from urllib.parse import SplitResult, urlsplit

from chargehand.errors import InvalidInput

ESCAPES = "in a name or password write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23, [ as %5B, ] as %5D"


def split_address(url: str, setting: str) -> SplitResult:
    """Its parts. InvalidInput, without a word of it, where a sign in the password would make them other parts.

    What they would be is shown in messages, and would be half of the password.
    """
    try:
        place = urlsplit(url)
        _ = place.port
    except ValueError:
        # What Python says of it quotes the address.
        raise InvalidInput(f"{setting} cannot be read; {ESCAPES}") from None
    if "@" in place.path + place.query + place.fragment:
        raise InvalidInput(f"{setting} cannot be read, for an @ stands behind its host; {ESCAPES}")
    return place


def each_of(url: str) -> list[str]:
    """The addresses that a broker's setting may name, with ; between them."""
    return re.split(r";(?=[a-z]+://)", url)


def shown(url: str) -> str:
    """The address, or each of them, without its password."""
    places = map(urlsplit, each_of(url))
    return ";".join(f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path}" for place in places)
