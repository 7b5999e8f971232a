"""The guards that no release may weaken, and the tests that have to notice.

To add one: a `Part` under its guard's name. Tenant filters, the doors that are opened for a tenant and scope checks are
found by themselves, in every module of store/ and service/, and so are the walls that migrations make; `TENANT_TESTS`
says which tests hold a module where they are not named after it.
"""

from collections.abc import Iterator
from pathlib import Path

from review.mutants.discovery import (
    Mutant,
    Part,
    doors,
    mutants_of,
    scope_checks,
    tenant_filters,
    walls,
)
from review.mutants.operators import Kind

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "chargehand"

_ACCESS = ("tests/service/test_access.py",)
_LIVES = ("tests/service/test_fencing.py", "tests/service/test_attempts.py", "tests/service/test_journal.py")
_PATHS = ("tests/tools/test_paths.py",)
_DIAL = (
    "tests/network/test_guarded_addresses.py",
    "tests/network/test_guarded_dialing.py",
    "tests/tools/test_fetching.py",
)
_BUDGETS = (
    "tests/service/test_reservations.py",
    "tests/service/test_journal.py",
)
_TENANTS = ("tests/service/test_tenants_apart.py",)

TENANT_TESTS: dict[str, tuple[str, ...]] = {
    "store/access.py": ("tests/store/test_key_rows.py", *_ACCESS, "tests/service/test_tenants.py"),
    "service/access.py": _ACCESS,
    "service/approvals.py": ("tests/api/test_approvals.py",),
    "service/visibility.py": ("tests/service/test_narrowing.py", *_TENANTS),
    # Whose tenant is suspended.
    "store/claims.py": (*_TENANTS, "tests/service/test_tenants.py"),
    "store/schedules.py": (*_TENANTS, "tests/service/test_tenants.py", "tests/service/test_schedules.py"),
    "store/audit.py": (*_TENANTS, "tests/service/test_audit.py"),
    "store/tenant_limits.py": _TENANTS,
    "store/backlog.py": _TENANTS,
    "store/data_keys.py": (*_TENANTS, "tests/service/test_vault.py"),
    "store/tenant_storage.py": ("tests/service/test_tenant_limits.py", "tests/api/test_tenant_limits.py"),
    **dict.fromkeys(
        ("store/webhooks.py", "store/webhook_deliveries.py", "service/webhooks.py"),
        ("tests/outgoing/test_webhooks.py", "tests/api/test_webhooks.py"),
    ),
    **dict.fromkeys(
        (
            *("store/agents.py", "store/charges.py", "store/lanes.py", "store/pages.py"),
            *("store/retention.py", "store/tasks.py", "store/usage.py"),
            *("service/agents.py", "service/journal.py", "service/mcp_pins.py", "service/messages.py"),
            *("service/schedules.py", "service/tasks.py", "service/watch.py"),
        ),
        _TENANTS,
    ),
}
"""Modules that are not here are held by the tests that are named after them."""
_EVERY_USE_CASE = ("tests/service/test_scopes.py",)
_DOORS = ("tests/service/test_tenant_doors.py",)
_WALL = ("tests/store/test_tenant_wall.py",)

PARTS: dict[str, tuple[Part, ...]] = {
    "tenant filter": (
        Part(module="store/tenant_wall.py", scopes=("*",), tests=_WALL, kind=Kind.LOGIC | Kind.STATEMENTS),
        Part(module="store/server.py", scopes=("ServerDatabase.read", "ServerDatabase.write"), tests=_WALL),
        Part(
            module="store/migrations/walls.py",
            scopes=("*",),
            tests=(*_WALL, "tests/store/test_migrate.py"),
            kind=Kind.LOGIC | Kind.STATEMENTS | Kind.RULES,
        ),
    ),
    "fencing": (
        Part(module="service/attempts.py", scopes=("is_held", "require_held", "_as_it_stands"), tests=_LIVES),
        Part(module="store/tasks.py", scopes=("renew", "move", "_update_of"), tests=_LIVES),
        Part(module="store/history.py", scopes=("_FINISH_STEP", "finish_steps", "begin_steps"), tests=_LIVES),
        Part(
            module="store/claims.py",
            scopes=("_CLAIM_HELD", "take"),
            tests=("tests/service/test_fencing.py", "tests/service/test_claims.py"),
        ),
        Part(
            module="store/row_updates.py",
            scopes=("RowUpdate.of",),
            tests=("tests/service/test_fencing.py",),
            is_used_by_imports=True,
        ),
    ),
    "scope check": (
        Part(module="domain/access.py", scopes=("Principal",), tests=("tests/domain/test_access.py",)),
        Part(
            module="serve/auth.py",
            scopes=("Authentication", "principal_of", "_bearer_token"),
            tests=("tests/api/test_bearer.py", "tests/api/test_auth.py", "tests/api/test_tokens.py"),
        ),
        Part(
            module="serve/routes.py",
            scopes=("Route.is_public", "_guarded"),
            tests=("tests/api/test_bearer.py", "tests/api/test_auth.py"),
        ),
    ),
    "path confinement": (
        Part(
            module="tools/paths.py",
            scopes=(
                *("_FORBIDDEN_CHARACTERS", "_RESERVED_STEMS", "_PROTECTED", "parse_path", "parse_pattern"),
                *("check_writable", "policy_key", "_check_text", "_below_a_root", "_check_relative"),
                *("_check_part", "_problem_of"),
            ),
            tests=_PATHS,
            kind=Kind.LOGIC | Kind.ELEMENTS,
        ),
        Part(
            module="tools/beneath.py",
            scopes=("open_by_kernel", "open_by_walk", "_PASS_THROUGH"),
            tests=("tests/tools/test_beneath.py",),
            kind=Kind.LOGIC | Kind.ELEMENTS,
        ),
        Part(
            module="tools/root_posix.py",
            scopes=("PosixRoot", "_READ", "_CREATE"),
            tests=("tests/tools/test_beneath.py",),
            kind=Kind.LOGIC | Kind.ELEMENTS,
        ),
    ),
    "dial check": (
        Part(module="network/addresses.py", scopes=("*",), tests=_DIAL, kind=Kind.LOGIC | Kind.ELEMENTS),
        Part(module="network/guarded_connections.py", scopes=("GuardedNetwork",), tests=_DIAL),
        Part(
            module="network/guarded_http.py",
            scopes=("GuardedHttp.checked", "GuardedHttp._followed"),
            tests=_DIAL,
        ),
    ),
    "signature check": (
        Part(
            module="service/access.py",
            scopes=(
                *("Access.verify", "Access._is_fresh", "Access._find", "Access._is_issued"),
                *("Access._load_pepper", "Access._require_live", "Access.require_active"),
            ),
            tests=(*_ACCESS, "tests/service/test_sessions.py"),
        ),
        Part(
            module="service/tokens.py",
            scopes=("Tokens._issuer_of", "Tokens._end_of", "_check_header", "_verified", "_time"),
            tests=("tests/api/test_tokens.py",),
        ),
        Part(
            module="domain/webhook_signature.py",
            scopes=("*",),
            tests=("tests/outgoing/test_webhooks.py",),
            kind=Kind.LOGIC | Kind.CONTENTS,
        ),
        Part(
            module="serve/session_cookie.py",
            scopes=(
                *("SessionCookie.brought_by", "SessionCookie.secret_that_counts"),
                *("SessionCookie.require_own_page", "SessionCookie.require_not_from_elsewhere"),
            ),
            tests=("tests/api/test_session.py",),
        ),
    ),
    "budget reservation": (
        Part(
            module="service/spending.py",
            scopes=(
                *("_Pool.most_output", "_shortest", "spend", "reserve", "_pools", "reserve_of_day"),
                *("_require_price", "settle", "_note", "give_back"),
            ),
            tests=_BUDGETS,
            kind=Kind.LOGIC | Kind.ARITHMETIC,
        ),
        Part(
            module="domain/budget.py",
            scopes=("Budget.tightened", "Budget.refuse_spent", "_read", "_limit"),
            tests=("tests/domain/test_budget.py", *_BUDGETS),
            kind=Kind.LOGIC | Kind.ARITHMETIC,
        ),
        Part(
            module="store/charges.py",
            scopes=("*",),
            tests=_BUDGETS,
            kind=Kind.LOGIC | Kind.ARITHMETIC | Kind.STATEMENTS,
        ),
        Part(
            module="store/tasks.py",
            scopes=("_spend", "spend"),
            tests=_BUDGETS,
            kind=Kind.LOGIC | Kind.ARITHMETIC,
        ),
    ),
}
GUARDS = tuple(PARTS)


def all_mutants(package: Path = PACKAGE) -> Iterator[Mutant]:
    """Of every guard, in the order of GUARDS."""
    for guard, parts in PARTS.items():
        if guard == "tenant filter":
            yield from tenant_filters(package, guard, TENANT_TESTS, ROOT)
            yield from doors(package, guard, _DOORS)
            yield from walls(package, guard, _WALL)
        if guard == "scope check":
            yield from scope_checks(package, guard, _EVERY_USE_CASE)
        yield from mutants_of(package, guard, parts)
