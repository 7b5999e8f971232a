"""Every use case opens the database for the tenant of its caller, so that PostgreSQL's wall stands around it."""

import ast
import inspect
from pathlib import Path

from chargehand import service

WITHOUT_TENANT = {
    "sessions.begin": "a session is found by its secret alone, before anybody knows whose it is",
    "sessions.end": "as sessions.begin",
    "tenant_limits.read": "the operator's, who reads and sets those of any tenant",
    "tenant_limits.replace": "as tenant_limits.read",
    "tenants._store": "the operator's: a tenant is made together with its first key",
    "tenants.get": "the operator's: which tenants there are",
    "tenants.page": "as tenants.get",
    "tenants.change": "as tenants.get",
    "vault._rewrap_some": "the operator's: every tenant's data key is wrapped anew",
}
FOR_A_TENANT_THAT_THEY_ARE_TOLD = {
    *("deliveries.require_room", "denials._write", "secrets.values", "tenant_storage._take_count"),
    *("webhook_sending._write",),
}


def doors() -> list[tuple[str, set[str], str]]:
    """Each use of a door to the database in service/: the function, its parameters, and for whom it is opened."""
    found: list[tuple[str, set[str], str]] = []
    for path in sorted(Path(inspect.getfile(service)).parent.glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            parameters = {one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)}
            for call in ast.walk(function):
                if (
                    isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Attribute)
                    and call.func.attr in {"read", "write", "glance"}
                    and ast.unparse(call.func.value).endswith("db")
                ):
                    told = ", ".join(ast.unparse(one) for one in call.args)
                    found.append((f"{path.stem}.{function.name}", parameters, told))
    return found


def test_who_asks_is_who_the_door_is_opened_for() -> None:
    found = [(name, told) for name, parameters, told in doors() if "who" in parameters]
    without = {name for name, told in found if not told.endswith("tenant")}

    assert without == WITHOUT_TENANT.keys()
    assert len(found) > 50


def test_what_knows_its_tenant_otherwise_opens_the_door_for_it() -> None:
    opened = {name for name, parameters, told in doors() if "who" not in parameters and told}

    assert opened == FOR_A_TENANT_THAT_THEY_ARE_TOLD
