"""The audit as the SDK's calls."""

from chargehand.client.calls import Call, query_of


def audit_listing(
    *,
    actor: str | None = None,
    action: str | None = None,
    object_id: str | None = None,
    object_kind: str | None = None,
    result: str | None = None,
    since: str | None = None,
    until: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Call:
    """GET a page of entries, newest first; `since` and `until` are times such as 2030-01-31T00:00:00Z."""
    given = {
        "actor": actor,
        "action": action,
        "object": object_id,
        "object_kind": object_kind,
        "result": result,
        "since": since,
        "until": until,
        "cursor": cursor,
        "limit": limit,
    }
    return Call(method="GET", path="/audit", query=query_of(given))
