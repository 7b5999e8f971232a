"""What has been others' way in is not called here: no shell, no text that becomes code or SQL, no open TLS.

Rule: what a linter can say, ruff's S rules say (pyproject.toml); these know which of our modules may do what.
"""

import ast
import re
import tomllib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest

from tests.house.tree import BLUEPRINTS, ROOT, text_of

SOURCE = ROOT / "src" / "chargehand"

STARTS_PROCESSES = {
    "chargehand/cli/demo_processes.py": "the demo's own services and workers",
    "chargehand/cli/diagnosis.py": "doctor asks programs for their versions",
    "chargehand/crew/blueprint_formatting.py": "ruff, over what the crew wrote from its templates",
    "chargehand/store/network_drive.py": "macOS tells the kind of a disk by `mount`",
    "chargehand/store/secret_files.py": "Windows sets the rights of a file by `icacls`",
    "chargehand/tools/sandbox/bubblewrap.py": "the sandbox itself",
    "chargehand/tools/sandbox/job.py": "the sandbox's starter on Windows",
    "chargehand/tools/sandbox/runner/child.py": "becomes the command, once it is confined",
    "chargehand/tools/sandbox/runner/windows_job.py": "starts the command, once it is in its job",
    "chargehand/tools/sandbox/runner_start.py": "the sandbox's starter",
}
"""Modules that may start a program, each with what for. All give a list of arguments; no shell is between."""
WRITES_SQL = {
    "chargehand/store/inline.py": "a PRAGMA with a number of this module",
    "chargehand/store/migrations/versions/0003_fleet.py": "columns that the migration names itself",
    "chargehand/store/migrations/walls.py": "tables and rules that migrations name themselves",
    "chargehand/store/tenant_wall.py": "the session's variable that the module names; the tenant is bound",
    "chargehand/store/server_look.py": "variables and tables that the module names; tables are quoted",
    "chargehand/store/server_migrate.py": "tables of the schema, quoted",
    "chargehand/store/server_url.py": "session variables that the module names; no parameter can stand there",
    "chargehand/store/sqlite.py": "PRAGMAs that the module names",
    "chargehand/store/tables.py": "columns that the module names",
}
"""Modules in which SQL is put together as text, each with why that is safe: nothing in it comes from a caller."""

_SECRET = re.compile(r"(^|_)(secret|password|signature|pepper|key_hash|mac|hmac|csrf|token)($|_)")
_STARTERS = {
    *("Popen", "run", "call", "check_call", "check_output", "create_subprocess_exec", "subprocess_exec"),
    *("execv", "execve", "execvp", "execvpe", "posix_spawn", "spawnv", "startfile"),
}
_SHELLS = {"system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell", "subprocess_shell"}
_CODE = {"eval", "exec", "compile", "__import__"}


_LOOKED_AT = (ast.Call, ast.Compare, ast.keyword, ast.Assign, ast.Attribute, ast.Import, ast.ImportFrom)


@cache
def shipped() -> tuple[tuple[str, ast.AST], ...]:
    """What the rules look at, of every module that is shipped: its path below src/, and the node."""
    paths = (path for path in SOURCE.rglob("*.py") if not path.is_relative_to(BLUEPRINTS))
    return tuple(
        (path.relative_to(SOURCE.parent).as_posix(), node)
        for path in sorted(paths)
        for node in ast.walk(ast.parse(text_of(path)))
        if isinstance(node, _LOOKED_AT)
    )


def found(rule: Callable[[ast.AST], bool], nodes: Iterable[tuple[str, ast.AST]] | None = None) -> list[str]:
    """Where a rule is broken, as module, line and code."""
    return [
        f"{module}:{getattr(node, 'lineno', 0)}: {ast.unparse(node)[:90]}"
        for module, node in nodes or shipped()
        if rule(node)
    ]


def name_of(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Call(func=function):
            return name_of(function)
        case _:
            return ""


def owner_of(node: ast.Call) -> str:
    return name_of(node.func.value) if isinstance(node.func, ast.Attribute) else ""


def goes_through_a_shell(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    told = any(one.arg == "shell" and not _is(one.value, False) for one in node.keywords)
    return told or (name_of(node) in _SHELLS and owner_of(node) in {"os", "subprocess", "asyncio", "loop"})


def makes_code_of_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _CODE


def reads_what_can_build_objects(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return any(one.name.split(".")[0] in _OBJECTS for one in names)
        case ast.ImportFrom(module=str(module)):
            return module.split(".")[0] in _OBJECTS
        case ast.Call() if owner_of(node) == "yaml":
            loader = [one.value for one in node.keywords if one.arg == "Loader"] + node.args[1:2]
            is_safe = "safe" in name_of(node) or (bool(loader) and "Safe" in name_of(loader[0]))
            return name_of(node).startswith(("load", "unsafe_load", "full_load")) and not is_safe
        case _:
            return False


_OBJECTS = {"pickle", "cPickle", "marshal", "shelve", "dill", "jsonpickle", "cloudpickle", "xmlrpc"}


def opens_tls(node: ast.AST) -> bool:
    match node:
        case ast.keyword(arg="verify" | "check_hostname", value=value):
            return _is(value, False)
        case ast.Assign(targets=[ast.Attribute(attr="check_hostname")], value=value):
            return _is(value, False)
        case ast.Attribute(attr="CERT_NONE" | "_create_unverified_context"):
            return True
        case _:
            return False


def is_sql_from_parts(node: ast.AST) -> bool:
    is_statement = isinstance(node, ast.Call) and name_of(node) in {
        "text",
        "execute",
        "exec_driver_sql",
        "executescript",
    }
    if not isinstance(node, ast.Call) or not is_statement or not node.args:
        return False
    match node.args[0]:
        case ast.JoinedStr(values=values):
            return any(isinstance(one, ast.FormattedValue) for one in values)
        case ast.BinOp(op=ast.Add() | ast.Mod(), left=left, right=right):
            return any(
                isinstance(side, ast.Constant | ast.JoinedStr) and not _is_number(side)
                for side in (left, right)
            )
        case ast.Call(func=ast.Attribute(attr="format" | "join" | "replace")):
            return True
        case _:
            return False


def compares_a_secret(node: ast.AST) -> bool:
    if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
        return False
    sides = (node.left, *node.comparators)
    # Beside a constant (of a type, a scheme, an empty text) nothing is told by how long it takes.
    return any(_SECRET.search(name_of(side)) for side in sides) and not any(
        isinstance(side, ast.Constant) for side in sides
    )


def starts_a_process(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or name_of(node) not in _STARTERS:
        return False
    owner = owner_of(node)
    return owner in {"subprocess", "asyncio", "os", "loop"} and (
        name_of(node) != "run" or owner == "subprocess"
    )


def _is(node: ast.AST, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_number(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float)


def test_no_command_goes_through_a_shell() -> None:
    assert found(goes_through_a_shell) == []


def test_no_text_becomes_code() -> None:
    assert found(makes_code_of_text) == []


def test_nothing_is_read_that_can_build_objects() -> None:
    assert found(reads_what_can_build_objects) == []


def test_no_certificate_goes_unchecked() -> None:
    assert found(opens_tls) == []


def test_no_secret_is_compared_by_its_first_difference() -> None:
    assert found(compares_a_secret) == []


def test_sql_is_put_together_only_where_it_is_said_why() -> None:
    breaches = found(is_sql_from_parts)

    assert [one for one in breaches if one.split(":")[0] not in WRITES_SQL] == []
    assert {one.split(":")[0] for one in breaches} == set(WRITES_SQL), "an entry is not needed any more"


def test_programs_are_started_only_where_it_is_said_what_for() -> None:
    starters = {one.split(":")[0] for one in found(starts_a_process)}

    assert starters == set(STARTS_PROCESSES)


def starts_what_a_text_names(node: ast.AST) -> bool:
    return (
        starts_a_process(node)
        and isinstance(node, ast.Call)
        and owner_of(node) == "subprocess"
        and bool(node.args)
        and isinstance(node.args[0], ast.Constant | ast.JoinedStr | ast.BinOp)
    )


def test_a_program_gets_a_list_of_arguments() -> None:
    assert found(starts_what_a_text_names) == []


PLANTED: dict[str, tuple[Callable[[ast.AST], bool], bool]] = {
    "subprocess.run(command, shell=True)": (goes_through_a_shell, True),
    "subprocess.run(command, shell=flag)": (goes_through_a_shell, True),
    "os.system(command)": (goes_through_a_shell, True),
    "subprocess.run([command], shell=False)": (goes_through_a_shell, False),
    "platform.system()": (goes_through_a_shell, False),
    "eval(text)": (makes_code_of_text, True),
    "re.compile(text)": (makes_code_of_text, False),
    "import pickle": (reads_what_can_build_objects, True),
    "from marshal import loads": (reads_what_can_build_objects, True),
    "yaml.load(text)": (reads_what_can_build_objects, True),
    "yaml.load(text, Loader=yaml.Loader)": (reads_what_can_build_objects, True),
    "yaml.safe_load(text)": (reads_what_can_build_objects, False),
    "yaml.load(text, Loader=yaml.CSafeLoader)": (reads_what_can_build_objects, False),
    "get(url, verify=False)": (opens_tls, True),
    "context.check_hostname = False": (opens_tls, True),
    "context.verify_mode = ssl.CERT_NONE": (opens_tls, True),
    "text(f'SELECT {name}')": (is_sql_from_parts, True),
    "connection.execute('SELECT ' + name)": (is_sql_from_parts, True),
    "connection.execute('SELECT %s' % name)": (is_sql_from_parts, True),
    "connection.execute('SELECT {}'.format(name))": (is_sql_from_parts, True),
    "connection.execute('SELECT 1', name)": (is_sql_from_parts, False),
    "if secret == other: pass": (compares_a_secret, True),
    "if record.key_hash != digest: pass": (compares_a_secret, True),
    "if token == '': pass": (compares_a_secret, False),
    "if tokens == other: pass": (compares_a_secret, False),
    "subprocess.Popen(arguments)": (starts_a_process, True),
    "asyncio.run(main())": (starts_a_process, False),
    "subprocess.run('ls -l')": (starts_what_a_text_names, True),
    "subprocess.run(['ls', '-l'])": (starts_what_a_text_names, False),
}


@pytest.mark.parametrize("code", PLANTED)
def test_each_rule_sees_what_it_is_for(code: str) -> None:
    rule, is_breach = PLANTED[code]

    assert bool(found(rule, [("planted.py", node) for node in ast.walk(ast.parse(code))])) is is_breach


def test_the_linters_security_rules_are_on_everywhere_and_passed_over_only_with_a_reason() -> None:
    ruff = tomllib.loads(text_of(ROOT / "pyproject.toml"))["tool"]["ruff"]["lint"]
    passed_over = {
        rule for rules in ruff["per-file-ignores"].values() for rule in rules if rule.startswith("S")
    }

    assert "S" in ruff["select"]
    assert not [rule for rule in ruff["ignore"] if rule.startswith("S")]
    assert passed_over == {"S101", "S105", "S106", "S108", "S311", "S603"}
    assert not [place for place in ruff["per-file-ignores"] if Path(place.split("/")[0]).name == "src"]
