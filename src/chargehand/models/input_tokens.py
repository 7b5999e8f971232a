"""How many tokens a request's input is at most.

Rule: never too few. The last answer's usage says what everything before it came to; what is new since counts one
token a byte, which is more than any tokenizer makes of it. So only the first estimate of a conversation is much
too high.
"""

from collections.abc import Sequence

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.tools import ToolDefinition

from chargehand.domain.values import canonical

FRAME_TOKENS = 1_000
"""What providers put around a request: roles, separators, their own instructions for the use of tools."""


def most_input_tokens(messages: Sequence[ModelMessage], tools: Sequence[ToolDefinition]) -> int:
    """A number of tokens that the input does not exceed."""
    known = 0
    fresh = list(messages)
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, ModelResponse) and message.usage.input_tokens:
            known = message.usage.input_tokens + message.usage.output_tokens
            fresh = list(messages[index + 1 :])
            break
    shown = 0 if known else sum(_bytes(tool) for tool in tools)
    return known + shown + len(ModelMessagesTypeAdapter.dump_json(fresh)) + FRAME_TOKENS


def _bytes(tool: ToolDefinition) -> int:
    schema = canonical(tool.parameters_json_schema)
    return len(f"{tool.name}{tool.description or ''}{schema}".encode())
