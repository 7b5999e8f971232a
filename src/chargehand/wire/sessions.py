"""What is told of a browser's session."""

from pydantic import AwareDatetime

from chargehand.domain.access import Scope
from chargehand.wire.bases import Answer


class SessionBody(Answer):
    """A session. Its secret is in the cookie alone, which no script can read."""

    id: str
    """Whose session it is."""
    tenant: str
    scopes: list[Scope]
    csrf_token: str
    """Sent as `X-CSRF-Token` with every request that changes something."""
    created_at: AwareDatetime
    expires_at: AwareDatetime
    """Its end, however much it is used."""
    idle_seconds: int
    """Its end when it is not used for so long."""
