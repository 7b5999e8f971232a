"""Names in the generated code: what a word of the specification is called where it would collide.

Rule: the word itself stays on the wire and in the database; only the Python identifier gets an underscore.
"""

import builtins
import keyword
import re
from collections.abc import Sequence

_BASE_MODEL = frozenset(
    {
        "construct",
        "copy",
        "dict",
        "fields",
        "from_orm",
        "json",
        "parse_file",
        "parse_obj",
        "parse_raw",
        "schema",
    }
    | {
        "schema_json",
        "update_forward_refs",
        "validate",
        "model_config",
        "model_fields",
        "model_computed_fields",
    }
)
_SQLALCHEMY = frozenset({"metadata", "registry", "type_annotation_map"})
_IN_CLASS_BODIES = frozenset(
    {"dt", "decimal", "enum", "orm", "sa", "uuid", "types", "enums", "pydantic", "typing"}
)
_IN_FUNCTIONS = frozenset(
    {
        "caller",
        "changes",
        "database",
        "given",
        "order",
        "page",
        "query",
        "row",
        "self",
        "session",
        "statement",
    }
)
_IN_SERVICES = frozenset(
    {
        "enums",
        "hash_password",
        "list_page",
        "models",
        "now",
        "order_of",
        "page_of",
        "references",
        "sa",
        "today",
        "uuid",
    }
    | {"version_conflict"}
)
_MODULES = frozenset(
    {
        "access",
        "accounts",
        "api_keys",
        "base",
        "cli",
        "dependencies",
        "health",
        "migrations",
        "outbox",
        "permissions",
    }
    | {"references", "service", "types"}
)
_IN_GIVEN = frozenset({"close", "found", "headers_for", "headers_of", "self", "settings", "stored"})
_BUILTIN = frozenset(name for name in dir(builtins) if name.islower())
_CLASSES = frozenset(
    {
        "Account",
        "ApiKey",
        "Base",
        "Caller",
        "Database",
        "Given",
        "OutboxEvent",
        "Page",
        "Problem",
        "Rule",
        "Settings",
    }
    | {"Stored", "Test", "None", "True", "False", "Exception", "Warning"}
)


def attribute(word: str) -> str:
    """The attribute of a model or a schema that holds the field of this name."""
    taken = keyword.iskeyword(word) or keyword.issoftkeyword(word) or word in _BASE_MODEL | _SQLALCHEMY
    return (
        f"{word}_"
        if taken or word in _IN_CLASS_BODIES or word in _BUILTIN or word.startswith("model_")
        else word
    )


def variable(word: str) -> str:
    """A local name or a parameter for a row of this resource."""
    return f"{word}_" if word in _IN_FUNCTIONS else attribute(word)


def fixture(word: str) -> str:
    """The method of the tests' `Given` that stores a row of this resource."""
    return f"{word}_" if word in _IN_GIVEN else attribute(word)


def module(word: str) -> str:
    """The module that holds what belongs to this resource."""
    return f"{word}_" if keyword.iskeyword(word) or word in _BUILTIN or word in _MODULES else word


def class_name(word: str) -> str:
    """`order_line` as OrderLine; a name that the service needs itself gets a suffix."""
    name = "".join(part[:1].upper() + part[1:] for part in word.split("_"))
    return f"{name}Record" if name in _CLASSES or hasattr(builtins, name) else name


def function(word: str) -> str:
    """The function that carries out a transition: `hand-out` as hand_out, `return` as return_."""
    name = word.replace("-", "_")
    taken = keyword.iskeyword(name) or name in _BUILTIN or name in _IN_SERVICES
    return f"{name}_" if taken else name


def members(values: Sequence[str]) -> dict[str, str]:
    """Enum members by value: distinct identifiers, whatever the values are."""
    found: dict[str, str] = {}
    for value in values:
        name = re.sub(r"[^A-Za-z0-9]+", "_", value).strip("_").upper()
        name = f"VALUE_{name}" if not name or name[0].isdigit() else name
        # `mro` is the one word that an enum refuses; doubles come from values that differ in case or punctuation.
        name = f"{name}_" if name.lower() == "mro" else name
        while name in found.values():
            name += "_"
        found[value] = name
    return found
