"""Addresses that an operator writes down for the service itself to ask: https, unless of a host that is theirs."""

from urllib.parse import SplitResult, urlsplit

from chargehand.errors import InvalidInput


def checked_place(url: str, private_hosts: tuple[str, ...]) -> SplitResult:
    """The address in parts. InvalidInput unless it is https, or of a host that the operator calls private."""
    try:
        place = urlsplit(url)
        name = host_port(place)
    except ValueError:
        raise InvalidInput(f"{url[:200]!r} is no address") from None
    if not place.hostname or "@" in place.netloc or place.fragment:
        raise InvalidInput(f"{url[:200]!r} is no plain https address")
    if place.scheme != "https" and not (place.scheme == "http" and name in private_hosts):
        raise InvalidInput(f"{url[:200]!r} is not https; plain http is for hosts among private_hosts only")
    return place


def host_port(place: SplitResult) -> str:
    """`host:port`, also where the address leaves the port out."""
    return f"{place.hostname}:{place.port or (443 if place.scheme == 'https' else 80)}"
