"""A setting that is misspelt is told at the start, not when the first task fails."""

from pathlib import Path

import pytest

from tests.cli.service import cli_in, running_service


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("MODEL", "anthropc:x", "CHARGEHAND_MODEL: 'anthropc:x' names no model"),
        ("MODEL", "anthropic:", "with a provider of anthropic, openai, openai-chat, google"),
        ("MODEL_ALIASES", '{"sonnet": "nonsense"}', "CHARGEHAND_MODEL_ALIASES ('sonnet'): 'nonsense'"),
        ("MODEL_FALLBACKS", '["opena:x"]', "CHARGEHAND_MODEL_FALLBACKS: 'opena:x'"),
        ("MODEL_URLS", '{"opnai": "http://127.0.0.1:9"}', "no provider 'opnai'; known: anthropic"),
        ("MODEL_URLS", "{bad", "CHARGEHAND_MODEL_URLS is no JSON: write a JSON object"),
        ("TOOLS", "bad", "CHARGEHAND_TOOLS is no JSON: write a JSON list"),
    ],
)
def test_names_that_mean_nothing_stop_the_start(tmp_path: Path, name: str, value: str, told: str) -> None:
    refused = cli_in(tmp_path).with_environment(**{f"CHARGEHAND_{name}": value}).run("serve", "--port", "0")

    assert refused.returncode == 2
    assert told in refused.stderr


def test_a_policy_without_a_rule_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing yet\n", encoding="utf-8")
    cli = cli_in(tmp_path).with_environment(CHARGEHAND_POLICY_FILE=str(tmp_path / "empty.yaml"))

    with running_service(cli) as service:
        assert "empty.yaml holds no rule" in "\n".join(service.greeting)


def test_a_start_warns_of_unknown_variables_and_tells_the_model_and_the_policy(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("- {tool: Bash, action: ask}\n", encoding="utf-8")
    cli = cli_in(tmp_path).with_environment(
        CHARGEHAND_MODLE="x",
        CHARGEHAND_KEY="secret-of-nobody",
        CHARGEHAND_MODEL="anthropic:claude-sonnet-4-5",
        CHARGEHAND_POLICY_FILE=str(policy),
    )

    with running_service(cli) as service:
        said = "\n".join(service.greeting)

    assert "warning: CHARGEHAND_MODLE is no setting and has no effect; did you mean CHARGEHAND_MODEL?" in said
    assert said.count("warning") == 1
    assert "anthropic:claude-sonnet-4-5 (CHARGEHAND_MODEL)" in said
    assert f"policy {policy}" in said
