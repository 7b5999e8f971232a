"""The bodies about money: budgets, what was spent, and usage."""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field

from chargehand.domain.budget import MAX_COUNT
from chargehand.domain.money import MAX_USD
from chargehand.domain.usage import UsageBy
from chargehand.domain.values import JsonObject
from chargehand.wire.bases import AMOUNT_PATTERN, Answer, Sent, whole
from chargehand.wire.limits import LimitUses

_Count = Annotated[int, Field(ge=1, le=MAX_COUNT), BeforeValidator(whole)]


def _plain_amount(value: object) -> object:
    """Refused in our words; of a union, pydantic would tell what its parts are called."""
    if isinstance(value, str) and not re.fullmatch(AMOUNT_PATTERN, value):
        raise ValueError('is not an amount in USD: write plain digits, such as "1.50"')
    return value


class BudgetBody(Sent):
    """Limits of a task and all that it delegates; each holds where it is lower than the agent's own."""

    usd: Annotated[
        Annotated[str, Field(pattern=AMOUNT_PATTERN)] | Annotated[float, Field(ge=0, lt=MAX_USD)] | None,
        BeforeValidator(_plain_amount),
    ] = None
    """Money for models, in USD: decimal text such as `"1.50"`, or a number."""
    tokens: _Count | None = None
    """What models read and write."""
    tool_calls: _Count | None = None
    steps: _Count | None = None
    children: _Count | None = None
    depth: _Count | None = None
    wall_seconds: float | None = Field(default=None, gt=0, le=MAX_COUNT)

    def as_data(self) -> JsonObject:
        """The limits that were given."""
        return self.model_dump(exclude_none=True)


class SpentBody(Answer):
    """What a task has used, with what is reserved for calls that are under way.

    Of a root it is the whole tree's. A delegated task knows its own money and tokens; the rest its root counts.
    """

    usd: str
    """Decimal text. Calls whose price is unknown are not in it: `/usage` counts them."""
    tokens: int
    steps: int
    tool_calls: int
    children: int


class UsageSums(Answer):
    """Sums over model calls. Money is decimal text in USD."""

    calls: int
    """Those that were answered."""
    usd: str
    """What they cost, with what is lost."""
    unpriced_calls: int
    """Those of them whose price is unknown; their cost is in no sum, their tokens are."""
    input_tokens: int
    """With those that were read from a cache or written to one."""
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    lost_calls: int
    """Those of which nobody knows what they came to; they may have been paid."""
    lost_usd: str
    """What was reserved for them, which is the most that they can have cost."""
    lost_tokens: int
    reserved_usd: str
    """What is set aside for calls that are under way."""
    reserved_tokens: int


class UsageGroup(UsageSums):
    """The sums of one task, tree, agent, model or day."""

    group: str
    """The id of the task, the tree's root or the agent; `provider:model`; the day (UTC)."""


class UsageBody(Answer):
    """What models have cost."""

    group_by: UsageBy
    items: list[UsageGroup]
    """The dearest first; days: the newest first."""
    total: UsageSums
    """Of all groups, also those that `limit` has left out."""
    is_complete: bool
    """False: there are more groups than `limit`."""
    limits: LimitUses | None = None
    """How the tenant stands to each of its limits now."""
