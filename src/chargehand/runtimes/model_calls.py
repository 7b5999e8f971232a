"""The tool calls of one answer: refused by the definition, delegated, or done, each a step of the journal."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic_ai.messages import ToolCallPart, ToolReturnPart
from pydantic_ai.tools import ToolDefinition

from chargehand.domain.agent_rules import rule_refusal
from chargehand.domain.values import JsonObject, check_json
from chargehand.errors import InvalidInput, PayloadTooLarge
from chargehand.runtimes.base import Hands, all_or_wait, settled
from chargehand.runtimes.model_delegation import DELEGATION_NAMES, delegation_tool, hand_out
from chargehand.runtimes.model_prompts import plain_json
from chargehand.runtimes.model_questions import QUESTION_TOOL, ask_person, question_tool
from chargehand.runtimes.permission import APPROVAL_SUFFIX, permission
from chargehand.runtimes.tool_steps import refuse, run_tool
from chargehand.service.journal import MAX_STEP_NODES
from chargehand.tools.base import Risk


@lru_cache(maxsize=256)
def _schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """Of a tool's arguments: one for all runs, which only read it."""
    return arguments.model_json_schema(by_alias=True)


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """The agent's side of the conversation in one attempt: what the model may call, and what came of it."""

    hands: Hands

    def shown(self) -> list[ToolDefinition]:
        """What the model is shown, in the definition's terms."""
        shown = [
            ToolDefinition(
                name=tool.name,
                description=tool.description,
                parameters_json_schema=_schema(tool.arguments),
                strict=False,
            )
            for tool in self.hands.catalogue.values()
        ]
        own = delegation_tool(self.hands.definition, self.hands.below)
        asking = question_tool(self.hands.definition)
        return [*shown, *(one for one in (own, asking) if one is not None)]

    async def results(
        self, turn: int, called: Sequence[ToolCallPart], *, but_not: Sequence[ToolCallPart] = ()
    ) -> list[ToolReturnPart]:
        """What the calls of one answer came to. What must wait does so when all others have been done.

        A call's place in the journal is its place in the answer, also where others of it are no tool's (`but_not`).
        """
        numbered = [(index, call) for index, call in enumerate(called) if call not in but_not]
        if len(called) == len(numbered) == 1:
            # The next request follows at once, and with it the end of this call is written.
            return [await self._returned(turn, 0, called[0], goes_on=True)]
        calls = [call for _, call in numbered]
        work = [settled(self._returned(turn, index, call)) for index, call in numbered]
        reading = {name for name, tool in self.hands.catalogue.items() if tool.risk is Risk.READ}
        side_by_side = reading | DELEGATION_NAMES
        if all(call.tool_name in side_by_side for call in calls):
            return all_or_wait(await asyncio.gather(*work))
        # One after the other: a later call may build on an earlier.
        return all_or_wait([await one for one in work])

    async def _returned(
        self, turn: int, index: int, call: ToolCallPart, *, goes_on: bool = False
    ) -> ToolReturnPart:
        content = await self._result(f"{self.hands.task.round}/{turn}.{index}", call, goes_on=goes_on)
        return ToolReturnPart(tool_name=call.tool_name, content=content, tool_call_id=call.tool_call_id)

    async def _result(self, path: str, call: ToolCallPart, *, goes_on: bool) -> str:
        try:
            arguments = plain_json(call.args_as_dict(raise_if_invalid=True))
            check_json(arguments, max_nodes=MAX_STEP_NODES)
        except (PayloadTooLarge, InvalidInput) as error:
            return f"The arguments of {call.tool_name} were not accepted; nothing was done: {error.message}"
        except (ValueError, AssertionError) as error:
            return (
                f"The arguments of {call.tool_name} are no JSON object; nothing was done: {str(error)[:300]}"
            )
        if call.tool_name in DELEGATION_NAMES:
            return await hand_out(self.hands, path, call.tool_name, arguments)
        own, called = self.hands.definition, call.tool_name
        refusal = rule_refusal(called, arguments, own.tool_rules, own.denied_rules)
        if refusal is not None:
            name = call.tool_name[:128]
            return await refuse(self.hands, path, name, arguments, refusal, code="refused_by_definition")
        if called == QUESTION_TOOL and called in own.tools:
            return await self._asked(path, arguments)
        name = call.tool_name[:128]
        return (await run_tool(self.hands, path, name, arguments, goes_on=goes_on)).content

    async def _asked(self, path: str, arguments: JsonObject) -> str:
        """A question's answers; what was asked or refused before stays so under another policy."""
        recorded = self.hands.steps.recorded
        if f"{path}.q0" in recorded and f"{path}{APPROVAL_SUFFIX}" not in recorded:
            return await ask_person(self.hands, path, arguments)
        refused = recorded.get(path)
        allowed = await permission(self.hands, path, QUESTION_TOOL, arguments)
        if allowed.refusal is None and refused is None:
            return await ask_person(self.hands, path, allowed.arguments)
        why = allowed.refusal or ""
        return await refuse(self.hands, path, QUESTION_TOOL, allowed.arguments, why, code=allowed.code)
