"""Mutants of the guards: which lines of which modules, found anew each time, new code included."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from review.mutants.operators import (
    Change,
    Kind,
    changes,
    conditions_on,
    neutral,
    without_tenant,
    without_walls,
)


class GuardMissing(Exception):
    """The table names something that the package does not hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some functions, classes or assignments of one module; `("*",)` is all of it. `tests` must hold them."""

    module: str
    scopes: tuple[str, ...]
    tests: tuple[str, ...]
    kind: Kind = Kind.LOGIC
    is_used_by_imports: bool = False
    """Other modules call it while they are imported: each of its mutants wants an interpreter of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A module of the package with one guard weakened."""

    guard: str
    module: str
    scope: str
    line: int
    told: str
    source: str
    tests: tuple[str, ...]
    lines: frozenset[int] = frozenset()
    """A test that runs none of these is not likely to notice."""
    is_anew: bool = False
    """It cannot be put into a process that has imported the package."""

    @property
    def key(self) -> str:
        """Its name in the table of those that change nothing; without the line, which moves."""
        return f"{self.module} {self.scope}: {self.told}"

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.scope}: {self.told}"


def mutants_of(package: Path, guard: str, parts: Sequence[Part]) -> Iterator[Mutant]:
    """The mutants of named parts. GuardMissing when the code has moved on without the table."""
    for part in parts:
        path = package / part.module
        if not path.is_file():
            raise GuardMissing(f"{guard}: there is no {part.module}; mend review/mutants/guards.py")
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        names = _names_of_nodes(tree)
        for scope, node in _scopes(tree, part, guard):
            found = [(names.get(one.node, scope), one) for one in changes(node, part.kind)]
            made = _made(source, guard, part.module, found, part.tests)
            yield from (replace(one, is_anew=part.is_used_by_imports) for one in made)


def tenant_filters(
    package: Path, guard: str, tests_of: dict[str, tuple[str, ...]], root: Path
) -> Iterator[Mutant]:
    """Every condition on a tenant in the statements of store/ and the use cases of service/, taken for met."""
    for path in (*sorted((package / "store").glob("*.py")), *sorted((package / "service").glob("*.py"))):
        module = path.relative_to(package).as_posix()
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        names = _names_of_nodes(tree)
        found = [
            (names.get(node, "module"), neutral(node, is_sql=module.startswith("store/")))
            for node in conditions_on(tree, "tenant")
        ]
        if found:
            tests = tests_of.get(module) or _tests_named_after(path.stem, root, module)
            yield from _made(source, guard, module, found, tests)


def scope_checks(package: Path, guard: str, tests: tuple[str, ...]) -> Iterator[Mutant]:
    """Every `who.require(…)` of a use case, left out."""
    for path in sorted((package / "service").glob("*.py")):
        module = path.relative_to(package).as_posix()
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        names = _names_of_nodes(tree)
        found = [
            (names.get(node, "module"), Change(node, "pass", f"`{ast.unparse(node)}` is left out"))
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
            and node.value.func.attr == "require"
        ]
        if found:
            yield from _made(source, guard, module, found, tests)


def doors(package: Path, guard: str, tests: tuple[str, ...]) -> Iterator[Mutant]:
    """Every door to the database that a use case opens for a tenant, opened for all."""
    for path in sorted((package / "service").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        names = _names_of_nodes(tree)
        made = [(names.get(node, "module"), without_tenant(node)) for node in ast.walk(tree)]
        found = [(name, change) for name, change in made if change is not None]
        yield from _made(source, guard, path.relative_to(package).as_posix(), found, tests)


def walls(package: Path, guard: str, tests: tuple[str, ...]) -> Iterator[Mutant]:
    """Every wall that a migration makes around a table, not made."""
    for path in sorted((package / "store" / "migrations" / "versions").glob("*.py")):
        source = path.read_text(encoding="utf-8")
        found = [("upgrade", one) for one in without_walls(ast.parse(source))]
        yield from _made(source, guard, path.relative_to(package).as_posix(), found, tests)


def _tests_named_after(stem: str, root: Path, module: str) -> tuple[str, ...]:
    """By the convention that tests of a noun stand in the file of its name."""
    rooms = ("tests/service", "tests/store", "tests/api")
    tests = tuple(f"{room}/test_{stem}.py" for room in rooms if (root / room / f"test_{stem}.py").is_file())
    if not tests:
        raise GuardMissing(f"{module} holds guards; name their tests in review/mutants/guards.py")
    return tests


def _scopes(tree: ast.Module, part: Part, guard: str) -> Iterator[tuple[str, ast.AST]]:
    if part.scopes == ("*",):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Assign):
                yield _title(node), node
        return
    there = dict(_named(tree.body, ""))
    for scope in part.scopes:
        if scope not in there:
            raise GuardMissing(f"{guard}: {part.module} has no {scope}; mend review/mutants/guards.py")
        yield scope, there[scope]


def _named(body: Sequence[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield prefix + node.name, node
            case ast.ClassDef():
                yield prefix + node.name, node
                yield from _named(node.body, f"{prefix}{node.name}.")
            case ast.Assign() | ast.AnnAssign():
                yield prefix + _title(node), node
            case _:
                continue


def _title(node: ast.AST) -> str:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
            return ast.unparse(target)
        case _:
            return "module"


def _names_of_nodes(tree: ast.Module) -> dict[ast.AST, str]:
    """The innermost function or assignment that each node stands in."""
    names: dict[ast.AST, str] = {}
    for name, node in _named(tree.body, ""):
        names |= dict.fromkeys(ast.walk(node), name)
    return names


def _made(
    source: str, guard: str, module: str, found: Sequence[tuple[str, Change]], tests: tuple[str, ...]
) -> Iterator[Mutant]:
    tree = ast.parse(source)
    for scope, change in found:
        text = _replaced(source, change)
        if text is not None:
            yield Mutant(
                guard=guard,
                module=module,
                scope=scope,
                line=getattr(change.node, "lineno", 0),
                told=change.told,
                source=text,
                tests=tests,
                lines=frozenset(_lines_of(tree, change.node)),
            )


def _lines_of(tree: ast.Module, node: ast.AST) -> set[int]:
    """The lines that run the node; of what a module makes once, those of the functions that use it by its name."""
    lines = _span(node)
    made_once = [one for one in tree.body if isinstance(one, ast.Assign | ast.AnnAssign)]
    names: set[str] = set()
    while True:
        more = {name for one in made_once if _span(one) & lines for name in _assigned(one)} - names
        if not more:
            return lines
        names |= more
        for user in ast.walk(tree):
            if isinstance(user, ast.Name) and user.id in more and isinstance(user.ctx, ast.Load):
                lines |= _span(user)


def _assigned(statement: ast.stmt) -> set[str]:
    return {
        one.id for one in ast.walk(statement) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)
    }


def _span(node: ast.AST) -> set[int]:
    begin: int = getattr(node, "lineno", 0)
    end: int | None = getattr(node, "end_lineno", None)
    return set(range(begin, (end or begin) + 1))


def _replaced(source: str, change: Change) -> str | None:
    """The source with the change, or None where it would be no Python."""
    node = change.node
    if not isinstance(node, ast.expr | ast.stmt) or node.end_lineno is None or node.end_col_offset is None:
        return None
    lines = source.encode().splitlines(keepends=True)
    begin = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    whole = source.encode()
    text = (whole[:begin] + change.text.encode() + whole[end:]).decode()
    try:
        ast.parse(text)
    except SyntaxError:
        return None
    return text
