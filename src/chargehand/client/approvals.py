"""Approvals as the SDK's calls: what waits for a person, and the decision."""

from chargehand.client.calls import Call, fields_of, path_of, query_of, sending
from chargehand.domain.values import JsonObject


def approval_listing(
    *, status: str | None = "open", task_id: str | None = None, cursor: str | None = None, limit: int = 50
) -> Call:
    """GET a page of approvals, newest first."""
    given = {"status": status, "task_id": task_id, "cursor": cursor, "limit": limit}
    return Call(method="GET", path="/approvals", query=query_of(given))


def decision(
    approval_id: str,
    *,
    approve: bool,
    arguments_hash: str | None = None,
    arguments: JsonObject | None = None,
    reason: str | None = None,
) -> Call:
    """POST a decision; sent twice it does the same as once."""
    extras = {"arguments_hash": arguments_hash, "arguments": arguments, "reason": reason}
    body = {"decision": "approve" if approve else "deny"} | fields_of(extras)
    return sending("POST", path_of("approvals", approval_id), body, repeatable=True)
