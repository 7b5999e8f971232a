"""Whom the service runs as, and who else may look into its data folder; pure."""

import hashlib
from dataclasses import dataclass

from chargehand.errors import InvalidInput

SYSTEM, ADMINISTRATORS = "S-1-5-18", "S-1-5-32-544"
"""By number: the names of groups differ with the language."""
_MODIFY = "0x1301bf"
"""Read, write, make and delete, but not change who may."""
_TOO_STRONG = frozenset({"localsystem", "system", "nt authority\\system", ".\\localsystem"})
_BUILT_IN = {
    "nt authority\\localservice": "NT AUTHORITY\\LocalService",
    "nt authority\\networkservice": "NT AUTHORITY\\NetworkService",
    "localservice": "NT AUTHORITY\\LocalService",
    "networkservice": "NT AUTHORITY\\NetworkService",
}


@dataclass(frozen=True, slots=True)
class Account:
    """An account that a service may run as."""

    name: str
    needs_password: bool
    needs_logon_right: bool
    """Whether it must first be allowed to log on as a service."""


def account_of(text: str | None, service: str) -> Account:
    """The account that was asked for, else the service's own, which exists for as long as the service does."""
    own = f"NT SERVICE\\{service}"
    if text is None or text.casefold() == own.casefold():
        return Account(own, needs_password=False, needs_logon_right=False)
    name = text.strip()
    if name.casefold() in _TOO_STRONG:
        raise InvalidInput(
            f"--account {text!r} may do everything on this machine, and on Windows agents' commands run with the"
            f" service's rights; leave it out for {own}"
        )
    if name.casefold().startswith("nt service\\"):
        raise InvalidInput(f"--account {text!r} belongs to another service; leave it out for {own}")
    if built_in := _BUILT_IN.get(name.casefold()):
        return Account(built_in, needs_password=False, needs_logon_right=False)
    if "\\" not in name and "@" not in name:
        name = f".\\{name}"
    # A managed service account ends with a dollar sign; its password is the domain's affair.
    return Account(name, needs_password=not name.endswith("$"), needs_logon_right=True)


def service_sid(service: str) -> str:
    """The number of the account `NT SERVICE\\…`: Windows takes it from the name alone."""
    digest = hashlib.sha1(service.upper().encode("utf-16-le"), usedforsecurity=False).digest()
    parts = [int.from_bytes(digest[at : at + 4], "little") for at in range(0, 20, 4)]
    return "S-1-5-80-" + "-".join(map(str, parts))


def folder_rights(sid: str) -> str:
    """Who may do what with the data folder and all below it, as Windows writes it down (SDDL).

    Nothing is inherited from above: the system and administrators may do everything, the service reads and writes,
    nobody else is let in.
    """
    full = "".join(f"(A;OICI;FA;;;{who})" for who in (SYSTEM, ADMINISTRATORS))
    return f"D:P{full}(A;OICI;{_MODIFY};;;{sid})"
