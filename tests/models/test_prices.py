"""What models cost: the shipped table, the operator's prices, and what nobody knows."""

import pytest

from chargehand.domain.charge import Settlement
from chargehand.domain.money import nanos_of, share_of, usd_text
from chargehand.errors import InvalidInput
from chargehand.models.choice import parsed
from chargehand.models.costs import Costs
from chargehand.models.prices import Prices, own_prices

SONNET = parsed("anthropic:claude-sonnet-4-5")


def used(**tokens: int) -> Settlement:
    told = dict.fromkeys(("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"), 0)
    return Settlement(model="m", usd_nanos=None, **(told | tokens))


def test_the_table_prices_input_output_and_cache_by_their_own_rates() -> None:
    prices = Prices()

    # 3 USD a million read, 15 written, 0.30 from the cache, 3.75 into it.
    assert prices.cost(SONNET, used(input_tokens=1_000, output_tokens=100)) == 4_500_000
    cached = used(input_tokens=1_000, cache_read_tokens=600, cache_write_tokens=300)
    assert prices.cost(SONNET, cached) == 100 * 3_000 + 600 * 300 + 300 * 3_750


def test_an_estimate_takes_the_dearest_way_that_the_input_may_be_billed() -> None:
    estimate = Costs().estimate(SONNET, 1_000)

    assert estimate.input_usd_nanos == 1_000 * 3_750
    assert estimate.output_nanos_per_million == 15 * 10**9
    worst = used(input_tokens=1_000, cache_write_tokens=1_000, output_tokens=8_192)
    cost = Prices().cost(SONNET, worst)
    assert cost is not None
    assert cost <= estimate.input_usd_nanos + share_of(estimate.output_nanos_per_million, 8_192)


def test_a_model_that_is_dearer_for_long_inputs_is_estimated_so() -> None:
    gemini = parsed("google:gemini-2.5-pro")

    short, long = Prices().most(gemini, 1_000), Prices().most(gemini, 300_000)

    assert short is not None
    assert long is not None
    assert long[1] > short[1]
    assert long[0] > 300 * short[0]


@pytest.mark.parametrize("name", ["anthropic:claude-test", "openai-chat:llama-3.3-70b", "google:gemini-test"])
def test_a_price_that_nobody_knows_is_unknown_and_not_zero(name: str) -> None:
    assert Prices().cost(parsed(name), used(input_tokens=1_000)) is None
    assert Prices().most(parsed(name), 1_000) is None
    assert not Costs().estimate(parsed(name), 1_000).is_priced


def test_openais_models_cost_the_same_over_both_of_its_protocols() -> None:
    asked = used(input_tokens=1_000, output_tokens=10)

    assert Prices().cost(parsed("openai:gpt-4o"), asked) == Prices().cost(parsed("openai-chat:gpt-4o"), asked)


def test_the_operators_price_goes_first_and_the_full_name_before_the_bare_one() -> None:
    own = own_prices(
        {
            "claude-sonnet-4-5": {"input_usd_per_million": 1, "output_usd_per_million": 1},
            "anthropic:claude-sonnet-4-5": {
                "input_usd_per_million": 2,
                "output_usd_per_million": "4.00",
                "cache_read_usd_per_million": 0.2,
            },
        }
    )

    cost = Prices(own).cost(SONNET, used(input_tokens=1_000, output_tokens=10, cache_read_tokens=400))

    assert cost == 600 * 2_000 + 10 * 4_000 + 400 * 200


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"m": {"input_usd_per_million": 1}}, "lacks output_usd_per_million"),
        ({"m": {"input": 1, "output": 2}}, "has no field 'input'"),
        ({"m": {"input_usd_per_million": "dear", "output_usd_per_million": 1}}, "is an amount in USD"),
        ({"m": {"input_usd_per_million": -1, "output_usd_per_million": 1}}, "is from 0"),
    ],
)
def test_a_price_that_is_none_is_refused_by_its_place(given: dict[str, dict[str, object]], said: str) -> None:
    with pytest.raises(InvalidInput, match=rf"CHARGEHAND_MODEL_PRICES\['m'\].*{said}"):
        own_prices(given)


@pytest.mark.parametrize(
    ("written", "nanos", "shown"),
    [
        ("1.50", 1_500_000_000, "1.50"),
        (0.1, 100_000_000, "0.10"),
        (2, 2_000_000_000, "2.00"),
        ("0.000000001", 1, None),
    ],
)
def test_money_is_read_and_shown_without_rounding(
    written: str | float, nanos: int, shown: str | None
) -> None:
    assert nanos_of(written, "usd") == nanos
    assert usd_text(nanos) == (shown or written)
