"""The same seed draws the same faults, whatever the run does meanwhile; and each kind does what it says."""

import random
from itertools import islice
from pathlib import Path

import pytest

from chaos import clock_jumps
from chaos.faults import draws
from chaos.options import parse

WEIGHTS = {"cut": 1.0, "stall": 2.0, "restart": 0.5}


def test_a_seed_draws_the_same_faults_again_and_another_seed_others() -> None:
    first, again, other = (
        list(islice(draws(random.Random(seed), WEIGHTS), 50))  # noqa: S311 - a plan that can be repeated, no secret
        for seed in ("1/0", "1/0", "2/0")
    )

    assert first == again
    assert first != other
    assert {one.kind for one in first} == set(WEIGHTS)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--minutes", "0"],
        ["--minutes", "nan"],
        ["--minutes", "ten"],
        ["--clients", "0"],
        ["--clients", "1.5"],
        ["--seed", "x"],
        ["--engine", "other"],
        ["--broker", "kafka"],
        ["--lease-seconds", "0.5"],
        ["--kills-per-second", "-1"],
        ["--unknown"],
    ],
)
def test_an_option_that_makes_no_sense_is_refused_with_its_name(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        parse(wrong)

    assert refused.value.code == 2
    assert wrong[0] in capsys.readouterr().err


def test_the_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        parse(["--help"])

    assert done.value.code == 0
    assert "python3 dev.py chaos --engine embedded" in capsys.readouterr().out


def test_a_clock_file_says_how_far_ahead_a_process_is(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock_jumps.make(clock)

    clock_jumps.jump(clock, -12.5)

    assert clock_jumps.seconds_in(clock) == -12.5
