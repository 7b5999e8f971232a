"""What a provider tells of an answer's tokens is only its word: no pool gains by it or breaks over it."""

import json
from pathlib import Path
from typing import Any

import pytest

from chargehand.domain.task import Status
from chargehand.testkit.anthropic_messages import ANTHROPIC_MESSAGES
from chargehand.testkit.dialect import Answer
from chargehand.testkit.openai_chat import OPENAI_CHAT
from tests import given
from tests.given import ME
from tests.models.test_mangled_answers import a_server
from tests.runtimes.test_model import BASE_PATHS, DEFINITION
from tests.service.test_budgets import PRICES, ledger, pool

BUDGET = DEFINITION.replace("---\nYou write", "chargehand:\n  budget: {usd: 2.00}\n---\nYou write")
HELLO = Answer(
    name="a", model="test", text="Hello.", thinking=None, calls=[], input_tokens=100, output_tokens=10
)


def a_body(provider: str, usage: dict[str, Any]) -> bytes:
    dialect = ANTHROPIC_MESSAGES if provider == "anthropic" else OPENAI_CHAT
    whole: Any = dialect.whole(HELLO)
    return json.dumps({**whole, "usage": {**whole["usage"], **usage}}).encode()


OWN = {"claude-test": PRICES["claude-test"]}
TOLD: list[tuple[str, dict[str, Any]]] = [
    ("anthropic:claude-test", {"input_tokens": -1_000_000}),
    ("anthropic:claude-test", {"output_tokens": 10**30}),
    ("anthropic:claude-test", {"input_tokens": 2**63}),
    ("anthropic:claude-test", {"cache_creation_input_tokens": 10**25}),
    ("anthropic:claude-test", {"cache_read_input_tokens": -50_000_000}),
    ("openai-chat:gpt-4o", {"prompt_tokens": -5_000}),
    ("openai-chat:gpt-4o", {"prompt_tokens_details": {"cached_tokens": 5_000_000}}),
    ("openai-chat:gpt-4o", {"completion_tokens": 10**20}),
]


@pytest.mark.filterwarnings("ignore:Failed to extract usage")
@pytest.mark.parametrize(("model", "usage"), TOLD)
async def test_no_told_usage_gives_money_back_or_stops_the_task(
    tmp_path: Path, model: str, usage: dict[str, Any]
) -> None:
    provider = model.partition(":")[0]
    async with a_server([a_body(provider, usage)], "application/json") as url:
        urls = {provider: url + BASE_PATHS[provider]}
        async with given.a_core(tmp_path, model=model, model_urls=urls, model_prices=OWN) as core:
            await core.agents.publish(ME, BUDGET)
            ended = await given.ended(core, await given.a_task(core, "writer", {"prompt": "Go."}))

            assert (ended.status, ended.error) == (Status.COMPLETED, None)
            told = given.rows(core, "SELECT status, is_priced, usd_nanos, input_tokens FROM task_charges")
            [(status, is_priced, usd, tokens)] = told
            assert (status, is_priced) == ("settled", 1)
            assert usd > 0
            assert tokens > 0
            assert pool(core, ended) == ledger(core, ended) == usd
