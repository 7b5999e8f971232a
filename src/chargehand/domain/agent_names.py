"""What a delegate may be called besides its id: the last part of the id, and the name in its definition.

Rule: an id always means that agent; any other name only where it means one. Rights are judged by the id.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from chargehand.domain.agent_tools import ToolRule
from chargehand.errors import InvalidInput


def short_of(agent_id: str) -> str:
    """`code-reviewer` of `wild.folder.code-reviewer`."""
    return agent_id.rpartition(".")[2]


def ids_called(name: str, delegates: Iterable[str], names: Mapping[str, str]) -> list[str]:
    """The ids that a name may mean. `names`: what each delegate's definition calls it, as far as it is known."""
    ids = list(dict.fromkeys(delegates))
    if name in ids:
        return [name]
    wanted = name.strip().casefold()
    return [one for one in ids if wanted in (short_of(one).casefold(), names.get(one, one).casefold())]


def id_called(name: str, delegates: Iterable[str], names: Mapping[str, str]) -> str:
    """The id that a name means; the name itself when it means nobody. InvalidInput when it means several."""
    found = ids_called(name, delegates, names)
    if len(found) > 1:
        raise InvalidInput(
            f"{name[:128]!r} may be {', '.join(found)}: say which, by its id; nothing was handed out"
        )
    return found[0] if found else name


def short_names(delegates: Iterable[str], names: Mapping[str, str]) -> dict[str, str]:
    """The short name of each delegate that has one of its own, by id."""
    ids = list(dict.fromkeys(delegates))
    return {
        one: short
        for one in ids
        if (short := short_of(one)) != one and ids_called(short, ids, names) == [one]
    }


def rules_by_id(
    rules: Sequence[ToolRule], delegates: Iterable[str], names: Mapping[str, str]
) -> list[ToolRule]:
    """The rules of a definition with `Agent(reviewer)` speaking of the ids that it may mean, too."""
    ids = list(delegates)

    def with_ids(pattern: str) -> str:
        written = [part.strip() for part in pattern.split(",")]
        meant = [one for part in written for one in ids_called(part, ids, names)]
        return ", ".join(dict.fromkeys([*written, *meant]))

    return [
        replace(rule, pattern=with_ids(rule.pattern)) if rule.tool == "Delegate" else rule for rule in rules
    ]
