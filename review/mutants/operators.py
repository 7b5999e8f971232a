"""The ways in which a guard is weakened: a condition dropped or turned, a refusal left out, a boundary moved by one.

Rule: only what is named as a guard is changed, and one thing at a time: a survivor says which line no test holds.
"""

import ast
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Flag, auto


class Kind(Flag):
    """Which changes fit a guard."""

    LOGIC = auto()
    """Conditions, refusals, comparisons, `.where` terms: fits every guard."""
    ARITHMETIC = auto()
    """Plus and minus, least and most."""
    ELEMENTS = auto()
    """What a table of refused things lists, one by one; the flags of system calls; whether links are followed."""
    CONTENTS = auto()
    """What is put together to be signed, or to be believed: one part of it less."""
    STATEMENTS = auto()
    """Statements to the database, not sent."""
    RULES = auto()
    """Rules in SQL that are put together: every row fits them."""


@dataclass(frozen=True, slots=True)
class Change:
    """One node of a tree, and what stands there instead."""

    node: ast.AST
    text: str
    told: str


_TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_LEFT_OUT_CALLS = ("require", "check", "refuse", "held_or_lost", "around")
"""A statement that only calls something of such a name is a guard."""
_NARROWING = {"where", "filter"}
_SWAPPED_CALLS = {"any": "all", "all": "any"}
_SWAPPED_SUMS = {"min": "max", "max": "min"}
_FOLLOWS = ("follow", "follow_symlinks")
_FLAGS = ("_RESOLVE_", "O_NOFOLLOW", "O_EXCL", "O_NONBLOCK")


def changes(scope: ast.AST, kind: Kind) -> Iterator[Change]:
    """Every weakening of a function, class or assignment."""
    for node in _walk(scope):
        yield from _of_logic(node)
        if Kind.ARITHMETIC in kind:
            yield from _of_arithmetic(node)
        if Kind.ELEMENTS in kind:
            yield from _of_elements(node)
        if Kind.CONTENTS in kind:
            yield from _of_contents(node)
        if Kind.STATEMENTS in kind:
            yield from _of_statements(node)
        if Kind.RULES in kind and isinstance(node, ast.Assign):
            yield Change(node.value, "'true'", f"`{_short(node.value)}` is true")


def _walk(scope: ast.AST) -> Iterator[ast.AST]:
    """The nodes below, without types and the words of messages: those are told, not decided."""
    pending = [scope]
    while pending:
        node = pending.pop()
        yield node
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.arguments):
            continue
        types = (getattr(node, "returns", None), getattr(node, "annotation", None))
        pending.extend(one for one in reversed(list(ast.iter_child_nodes(node))) if one not in types)


def _of_logic(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Compare():
            yield from _turned(node)
        case ast.BoolOp():
            yield from _dropped_operands(node)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield _change(node, operand)
        case ast.If():
            yield from _skipped(node)
        case ast.Call():
            yield from _of_call(node)
        case ast.Expr(value=value) if _is_guard_call(value):
            yield Change(node, "pass", f"`{_short(value)}` is left out")
        case ast.ExceptHandler(body=[ast.Raise() as refusal]):
            yield Change(refusal, "pass", f"`{_short(refusal)}` is left out")
        case ast.BinOp(op=ast.BitAnd(), left=ast.Compare() as left, right=ast.Compare() as right):
            yield from (_change(node, kept) for kept in (left, right))
        case _:
            return


def _turned(node: ast.Compare) -> Iterator[Change]:
    for place, operator in enumerate(node.ops):
        turned = copy.deepcopy(node)
        turned.ops[place] = _TURNED[type(operator)]()
        yield _change(node, turned)


def _dropped_operands(node: ast.BoolOp) -> Iterator[Change]:
    for place in range(len(node.values)):
        kept = [one for other, one in enumerate(node.values) if other != place]
        yield _change(node, kept[0] if len(kept) == 1 else ast.BoolOp(op=node.op, values=kept))


def _skipped(node: ast.If) -> Iterator[Change]:
    """A refusal, or what is done instead of going on."""
    if isinstance(node.body[-1], ast.Raise | ast.Return | ast.Continue):
        yield Change(node.test, "False", f"`if {_short(node.test)}` is passed over")
    if isinstance(node.test, ast.Name | ast.Attribute | ast.Call | ast.Await):
        yield _change(node.test, ast.UnaryOp(op=ast.Not(), operand=node.test))


def _of_call(node: ast.Call) -> Iterator[Change]:
    name = _name_of(node.func)
    if name == "compare_digest":
        yield Change(node, "True", f"`{_short(node)}` is true")
    elif name in _SWAPPED_CALLS and isinstance(node.func, ast.Name):
        yield _change(node.func, ast.Name(id=_SWAPPED_CALLS[name]))
    elif name in _NARROWING and isinstance(node.func, ast.Attribute):
        for place, term in enumerate(node.args):
            fewer = copy.deepcopy(node)
            del fewer.args[place]
            yield Change(node, f"({ast.unparse(fewer)})", f"`{name}` loses `{_short(term)}`")
    for keyword in node.keywords:
        if keyword.arg == "seen" and isinstance(keyword.value, ast.Dict):
            yield from _without_each(keyword.value, "`seen`")


def _without_each(node: ast.Dict, what: str) -> Iterator[Change]:
    for place, key in enumerate(node.keys):
        fewer = copy.deepcopy(node)
        del fewer.keys[place], fewer.values[place]
        yield Change(node, ast.unparse(fewer), f"{what} loses `{_short(key) if key else '**'}`")


def _of_arithmetic(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.BinOp(op=ast.Add()) if not isinstance(node.left, ast.Constant):
            yield _change(node, ast.BinOp(left=node.left, op=ast.Sub(), right=node.right))
        case ast.BinOp(op=ast.Sub()):
            yield _change(node, ast.BinOp(left=node.left, op=ast.Add(), right=node.right))
        case ast.Call(func=ast.Name(id=name) as function) if name in _SWAPPED_SUMS:
            yield _change(function, ast.Name(id=_SWAPPED_SUMS[name]))
        case _:
            return


def _of_elements(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.Tuple(elts=elements) | ast.Set(elts=elements) | ast.List(elts=elements):
            for place, element in enumerate(elements):
                if len(elements) > 1 and isinstance(element, ast.Constant | ast.Call):
                    fewer = copy.deepcopy(node)
                    del fewer.elts[place]
                    text = ast.unparse(fewer)
                    yield Change(node, text, f"the list loses `{_short(element)}`")
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            for dropped, kept in ((left, right), (right, left)):
                if _is_flag(dropped):
                    yield _change(node, kept)
        case ast.Call(keywords=keywords):
            for keyword in keywords:
                if keyword.arg in _FOLLOWS and isinstance(keyword.value, ast.Constant):
                    turned = ast.Constant(value=not keyword.value.value)
                    yield Change(keyword.value, str(turned.value), f"`{_short(keyword)}` is turned")
        case _:
            return


def _of_contents(node: ast.AST) -> Iterator[Change]:
    match node:
        case ast.JoinedStr(values=values):
            for place, part in enumerate(values):
                if isinstance(part, ast.FormattedValue):
                    fewer = ast.JoinedStr(values=[*values[:place], *values[place + 1 :]])
                    yield Change(node, ast.unparse(fewer), f"`{_short(node)}` loses `{_short(part.value)}`")
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            yield _change(node, left)
            yield _change(node, right)
        case ast.Dict():
            yield from _without_each(node, "the answer")
        case ast.ListComp(generators=[ast.comprehension(iter=source)]):
            text = ast.unparse(source)
            yield Change(source, f"({text})[:1]", f"only the first of `{text}`")
            yield Change(source, f"({text})[1:]", f"all but the first of `{text}`")
        case _:
            return


def _of_statements(node: ast.AST) -> Iterator[Change]:
    if not isinstance(node, ast.Expr):
        return
    call = node.value.value if isinstance(node.value, ast.Await) else node.value
    if isinstance(call, ast.Call) and _name_of(call.func) == "execute":
        yield Change(node, "pass", f"`{_short(node)}` is left out")


def _is_flag(node: ast.AST) -> bool:
    return isinstance(node, ast.Name | ast.Attribute) and _name_of(node).startswith(_FLAGS)


def _is_guard_call(node: ast.expr) -> bool:
    call = node.value if isinstance(node, ast.Await) else node
    return isinstance(call, ast.Call) and _name_of(call.func).lstrip("_").startswith(_LEFT_OUT_CALLS)


def _name_of(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def _change(node: ast.AST, instead: ast.expr) -> Change:
    text = ast.unparse(instead)
    return Change(node, f"({text})", f"`{_short(node)}` becomes `{_short(instead)}`")


def _short(node: ast.AST) -> str:
    text = ast.unparse(node)
    return text if len(text) <= 90 else f"{text[:60]} … {text[-27:]}"


def conditions_on(tree: ast.AST, attribute: str) -> Iterable[ast.Compare]:
    """Comparisons of something's attribute of this name, wherever they stand."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Compare)
            and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn)
            and any(
                isinstance(part, ast.Attribute) and part.attr == attribute
                for side in (node.left, *node.comparators)
                for part in ast.walk(side)
            )
        ):
            yield node


def neutral(node: ast.Compare, *, is_sql: bool) -> Change:
    """The condition as if it were always met by the one's own tenant."""
    passes = isinstance(node.ops[0], ast.Eq | ast.In)
    text = '__import__("sqlalchemy").true()' if is_sql else str(passes)
    return Change(node, text, f"`{_short(node)}` is always {'true' if passes else 'false'}")


def without_tenant(node: ast.AST) -> Change | None:
    """A door to the database that is opened for a tenant, opened for all of them instead; None for what is no such."""
    match node:
        case ast.Call(func=ast.Attribute(attr="read" | "write" | "glance") as door, args=[argument]) if (
            ast.unparse(argument).endswith("tenant")
        ):
            return Change(node, f"{ast.unparse(door)}()", f"`{_short(node)}` is opened for every tenant")
        case _:
            return None


def without_walls(tree: ast.AST) -> Iterator[Change]:
    """Tables of a migration that get no wall."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name_of(node.func) == "wall_off":
            for place, table in enumerate(node.args):
                fewer = copy.deepcopy(node)
                del fewer.args[place]
                yield Change(node, ast.unparse(fewer), f"no wall around `{_short(table)}`")
