"""An answer by JSON schema: the model hands it in by a tool, it is held against the schema, faults are told.

Rule: what is right about an answer follows from the recorded answer and the schema, so nothing here is a step.
"""

from dataclasses import dataclass
from typing import cast

from pydantic_ai.messages import ToolCallPart, ToolReturnPart
from pydantic_ai.tools import ToolDefinition

from chargehand.domain.task import Reason
from chargehand.domain.values import JsonObject, JsonValue, check_json
from chargehand.errors import ChargehandError
from chargehand.models.output_schema import errors_of
from chargehand.runtimes.base import AgentFailure, Hands
from chargehand.runtimes.model_prompts import SUBMIT_RESULT, output_schema, plain_json

MAX_REPAIRS = 3
USE_THE_TOOL = f"A plain answer is not taken. Hand the result in by calling {SUBMIT_RESULT}."

NOT_YET = "Not taken yet: somebody told you something meanwhile. Heed it, then hand the result in again."


@dataclass(slots=True)
class SubmittedOutput:
    """The result that a task's schema asks for, through one attempt."""

    schema: JsonObject
    repairs: int = 0

    @staticmethod
    def of(hands: Hands) -> "SubmittedOutput | None":
        """None for an agent that may answer in words."""
        schema = output_schema(hands)
        return SubmittedOutput(schema) if schema is not None else None

    def tool(self) -> ToolDefinition:
        """What the model hands its result in by. Tools take objects, so another value is wrapped in one."""
        parameters = self.schema
        if self._is_wrapped:
            inner = cast("JsonObject", _moved(self.schema, "#/properties/result"))
            parameters = {
                "type": "object",
                "properties": {"result": inner},
                "required": ["result"],
                "additionalProperties": False,
            }
        return ToolDefinition(
            name=SUBMIT_RESULT,
            description="Hand in the final result, once all the work is done. This ends the task.",
            parameters_json_schema=parameters,
            strict=False,
        )

    @property
    def _is_wrapped(self) -> bool:
        return self.schema.get("type") != "object"

    def judge(self, call: ToolCallPart) -> tuple[JsonValue, list[str]]:
        """The value that was handed in, and what is wrong with it."""
        try:
            arguments = plain_json(cast("JsonObject", call.args_as_dict(raise_if_invalid=True)))
            value = arguments.get("result") if self._is_wrapped else arguments
            if self._is_wrapped and set(arguments) != {"result"}:
                return None, ['the arguments are not {"result": …}']
            check_json(value)
        except ChargehandError as error:
            return None, [error.message]
        except (ValueError, AssertionError) as error:
            return None, [f"the arguments are no JSON object: {str(error)[:200]}"]
        return value, errors_of(self.schema, value)

    def told(self, call: ToolCallPart, errors: list[str]) -> ToolReturnPart:
        """The answer to a result that does not fit; AgentFailure when it has been told often enough."""
        self.count_repair(errors)
        lines = "\n".join(f"- {one}" for one in errors)
        content = (
            f"The result does not fit its schema; nothing was taken. Mend it and hand it in again:\n{lines}"
        )
        return ToolReturnPart(tool_name=call.tool_name, content=content, tool_call_id=call.tool_call_id)

    def put_off(self, call: ToolCallPart) -> ToolReturnPart:
        """The answer to a result that somebody's message came before."""
        return ToolReturnPart(tool_name=call.tool_name, content=NOT_YET, tool_call_id=call.tool_call_id)

    def count_repair(self, errors: list[str]) -> None:
        """One more answer that is not what the schema asks for."""
        self.repairs += 1
        if self.repairs > MAX_REPAIRS:
            raise AgentFailure(
                f"the result did not fit the output schema, {MAX_REPAIRS} repairs included: {errors[0]}",
                details={"errors": list(errors)},
                reason=Reason.OUTPUT_INVALID,
            )


def _moved(node: JsonValue, to: str) -> JsonValue:
    """The schema as a part of another: what refers to its own parts finds them at their new place."""
    if isinstance(node, list):
        return [_moved(one, to) for one in node]
    if not isinstance(node, dict):
        return node
    moved: JsonObject = {key: _moved(one, to) for key, one in node.items()}
    target = node.get("$ref")
    if isinstance(target, str) and (target == "#" or target.startswith("#/")):
        moved["$ref"] = to + target[1:]
    return moved
