"""Decides what a request is answered: which conversation, which turn, and whether something goes wrong."""

from collections import Counter
from dataclasses import dataclass

from chargehand.errors import NotFound
from chargehand.testkit.dialect import Answer, Asked, Call, compact, hash_of
from chargehand.testkit.script import Fault, Script, Turn

CHARACTERS_PER_TOKEN = 4


class NothingScripted(NotFound):
    """The script has no answer to this request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a request gets."""

    conversation: int
    turn: int
    answer: Answer
    fault: Fault | None
    delay_seconds: float
    stream_seconds: float


class Desk:
    """A script being played. Only the faults that come a number of times are counted; all else is in the request."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._faults_played: Counter[tuple[int, int, str]] = Counter()

    def reply_to(self, asked: Asked) -> Reply:
        """The turn that follows what the request has of the conversation."""
        number = next((n for n, one in enumerate(self._script) if one.match.fits(asked)), None)
        if number is None:
            raise NothingScripted(
                f"no conversation of the script matches: model {asked.model!r},"
                f" prompt {_shortened(asked.prompt)}, system {_shortened(asked.system)}"
            )
        turns = self._script[number].turns
        if asked.turn >= len(turns):
            raise NothingScripted(
                f"conversation {number} has {len(turns)} turns and was asked for turn {asked.turn}"
                f" (both count from 0); prompt {_shortened(asked.prompt)}"
            )
        turn = turns[asked.turn]
        fault = self._fault(turn, (number, asked.turn, hash_of(asked.prompt)))
        return Reply(
            conversation=number,
            turn=asked.turn,
            answer=_answer(asked, turn, fault, f"c{number}_t{asked.turn}"),
            fault=fault,
            delay_seconds=turn.delay_seconds,
            stream_seconds=turn.stream_seconds,
        )

    def _fault(self, turn: Turn, key: tuple[int, int, str]) -> Fault | None:
        fault = turn.fault
        if fault is None or fault.times is None:
            return fault
        self._faults_played[key] += 1
        return fault if self._faults_played[key] <= fault.times else None


def _answer(asked: Asked, turn: Turn, fault: Fault | None, name: str) -> Answer:
    text = turn.text
    if fault is not None and fault.huge_body_bytes is not None:
        text = "x" * fault.huge_body_bytes
    calls = [
        Call(
            id=f"call_{name}_{index}",
            name=call.name,
            arguments=call.arguments,
            has_bad_json=fault is not None and fault.bad_json_arguments,
        )
        for index, call in enumerate(turn.calls)
    ]
    said = [text or "", turn.thinking or "", *(compact(call.arguments) for call in turn.calls)]
    return Answer(
        name=name,
        model=asked.model,
        text=text,
        thinking=turn.thinking,
        calls=calls,
        input_tokens=turn.usage.input if turn.usage else _tokens(asked.system + asked.prompt),
        output_tokens=turn.usage.output if turn.usage else _tokens("".join(said)),
    )


def _tokens(text: str) -> int:
    return 1 + len(text) // CHARACTERS_PER_TOKEN


def _shortened(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:60]}…")
