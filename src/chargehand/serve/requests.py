"""What is told of a request in numbers and in the audit."""

from starlette.types import Scope

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def method_and_route(scope: Scope) -> tuple[str, str]:
    """Without anything that a client can choose."""
    method: str = scope["method"]
    route: str = getattr(scope.get("route"), "path", "none")
    return method if method in _METHODS else "other", route
