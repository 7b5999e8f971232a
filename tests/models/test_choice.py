"""Which model an agent gets, where its key is looked for, and what is said when either is missing."""

from pathlib import Path

import pytest

from chargehand.errors import RuntimeMissing
from chargehand.models.choice import ModelChoice, parsed


def choice(
    default: str | None = None,
    *,
    aliases: dict[str, str] | None = None,
    urls: dict[str, str] | None = None,
    **env: str,
) -> ModelChoice:
    return ModelChoice(default=default, aliases=aliases or {}, base_urls=urls or {}, environment=env)


@pytest.mark.parametrize(
    ("wish", "given", "model"),
    [
        (None, "anthropic:claude-x", "anthropic:claude-x"),
        ("inherit", "anthropic:claude-x", "anthropic:claude-x"),
        ("sonnet", "anthropic:claude-x", "openai:gpt-9"),
        ("opus", "anthropic:claude-x", "anthropic:claude-x"),
        ("claude-opus-4-20250514", "openai:gpt-9", "anthropic:claude-opus-4-20250514"),
        ("gpt-5", None, "openai:gpt-5"),
        ("gemini-2.5-pro", None, "google:gemini-2.5-pro"),
        ("openai-chat:llama3:8b", None, "openai-chat:llama3:8b"),
    ],
)
def test_a_definitions_wish_becomes_a_model(wish: str | None, given: str | None, model: str) -> None:
    assert str(choice(given, aliases={"sonnet": "openai:gpt-9"}).of(wish)) == model


@pytest.mark.parametrize("wish", [None, "", "inherit", "sonnet", "  "])
def test_without_a_default_the_setting_is_named(wish: str | None) -> None:
    with pytest.raises(RuntimeMissing, match=r"set CHARGEHAND_MODEL=provider:model"):
        choice().of(wish)


@pytest.mark.parametrize("text", ["", ":", "anthropic:", "nobody:model", "llama3", "claude"])
def test_what_names_no_model_is_refused(text: str) -> None:
    with pytest.raises(RuntimeMissing, match=r"with a provider of anthropic, openai, openai-chat, google"):
        parsed(text)


def test_a_key_comes_from_its_variable_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-file\n", "utf-8")
    provider = parsed("anthropic:x").provider

    assert choice(ANTHROPIC_API_KEY=" from-variable ").key(provider) == "from-variable"
    assert choice(ANTHROPIC_API_KEY_FILE=str(file)).key(provider) == "from-file"


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_key_file_that_holds_none_is_told(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(RuntimeMissing, match=r"OPENAI_API_KEY_FILE"):
        choice(OPENAI_API_KEY_FILE=str(file)).key(parsed("openai:x").provider)


def test_a_missing_key_names_its_variable_and_a_server_on_this_machine_needs_none() -> None:
    provider = parsed("openai-chat:llama3").provider

    assert choice(urls={"openai-chat": "http://127.0.0.1:11434/v1"}).key(provider) == "none"
    for urls in ({}, {"openai-chat": "https://models.example/v1"}):
        with pytest.raises(RuntimeMissing, match=r"set OPENAI_API_KEY, or OPENAI_API_KEY_FILE"):
            choice(urls=urls).key(provider)
