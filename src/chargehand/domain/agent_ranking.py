"""Which agents a brief is for, by their names and descriptions: a ranking without a model (BM25).

Rule: an agent that shares no telling word with the brief scores 0 and is never chosen. Equal input, equal order.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from chargehand.domain.agent import AgentDefinition
from chargehand.domain.values import JsonObject, JsonValue

AUTO = "auto"
"""The id that asks the service to pick; no agent may have it."""

MAX_BRIEF_CHARACTERS = 8_000
MAX_DESCRIPTION_CHARACTERS = 2_000
_NAME_WEIGHT = 3
_K1, _B = 1.2, 0.75
"""BM25's usual constants: how soon a repeated word stops counting, and how much a long text is discounted."""

_WORD = re.compile(r"[^\W_]+")
_ENDINGS = ("ations", "ation", "ings", "ing", "ers", "er", "ies", "ed", "es", "s", "e")
_STOPWORDS = frozenset([
    "a", "about", "after", "agent", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been",
    "but", "by", "can", "could", "do", "does", "doing", "down", "each", "expert", "for", "from", "get",
    "give", "go", "good", "has", "have", "help", "how", "i", "if", "in", "into", "is", "it", "its", "just",
    "like", "made", "make", "me", "more", "most", "must", "my", "need", "needs", "new", "no", "not", "of",
    "on", "one", "only", "or", "other", "our", "out", "over", "please", "proactively", "should", "so",
    "some", "specialist", "such", "task", "than", "that", "the", "their", "them", "then", "there", "these",
    "they", "this", "those", "to", "up", "us", "use", "used", "using", "want", "was", "we", "well", "what",
    "when", "where", "which", "who", "will", "with", "work", "would", "you", "your",
])  # fmt: skip
"""Words that say nothing of the matter."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """An agent with how well it fits; 0 is not at all."""

    agent: AgentDefinition
    score: float
    words: tuple[str, ...]
    """The words of the brief that speak for it, the most telling first."""


def brief_of(task_data: JsonObject) -> str:
    """All that is said in a task's input, keys left out, up to a bound."""
    parts: list[str] = []
    pending: list[JsonValue] = [task_data]
    size = 0
    while pending and size < MAX_BRIEF_CHARACTERS:
        value = pending.pop()
        if isinstance(value, str):
            parts.append(value[: MAX_BRIEF_CHARACTERS - size])
            size += len(parts[-1])
        elif isinstance(value, dict):
            pending.extend(reversed(value.values()))
        elif isinstance(value, list):
            pending.extend(reversed(value))
    return "\n".join(parts)


def ranked(brief: str, agents: Sequence[AgentDefinition]) -> list[Ranked]:
    """The agents, best first. Those that score 0 follow by how much their letters resemble the brief's."""
    documents = [_document(agent) for agent in agents]
    mean_length = sum(doc.total() for doc in documents) / max(1, len(documents))
    spread = Counter(word for doc in documents for word in doc)
    spelt = {_stem(word): word for word in reversed(_words(brief))}
    found = [
        _scored(agent, doc, spelt, spread, len(documents), mean_length)
        for agent, doc in zip(agents, documents, strict=True)
    ]
    letters = _trigrams(brief[:1_000])
    likeness = {one.agent.id: _likeness(letters, one.agent) if not one.score else 0.0 for one in found}
    return sorted(found, key=lambda one: (-one.score, -likeness[one.agent.id], one.agent.id))


def _scored(
    agent: AgentDefinition,
    doc: "Counter[str]",
    spelt: dict[str, str],
    spread: "Counter[str]",
    count: int,
    mean_length: float,
) -> Ranked:
    weights: dict[str, float] = {}
    length = _K1 * (1 - _B + _B * doc.total() / (mean_length or 1))
    for stem, word in spelt.items():
        if often := doc[stem]:
            rare = math.log(1 + (count - spread[stem] + 0.5) / (spread[stem] + 0.5))
            weights[word] = rare * often * (_K1 + 1) / (often + length)
    words = sorted(weights, key=lambda word: (-weights[word], word))
    return Ranked(agent, round(sum(weights.values()), 4), tuple(words[:8]))


def _document(agent: AgentDefinition) -> "Counter[str]":
    words = Counter(_stem(word) for word in _words(agent.description[:MAX_DESCRIPTION_CHARACTERS]))
    for word in set(_words(f"{agent.id} {agent.name}")):
        words[_stem(word)] += _NAME_WEIGHT
    return words


def _words(text: str) -> list[str]:
    """Its words without those that say nothing of the matter; `someCase` is two."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)
    return [word for word in _WORD.findall(apart.casefold()) if len(word) > 1 and word not in _STOPWORDS]


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


def _trigrams(text: str) -> set[str]:
    plain = " ".join(_words(text))
    return {plain[place : place + 3] for place in range(len(plain) - 2)}


def _likeness(letters: set[str], agent: AgentDefinition) -> float:
    own = _trigrams(f"{agent.id} {agent.description[:300]}")
    return len(letters & own) / (len(own) or 1)
