"""Tools that a service has by its settings: skills, hosts to fetch from, the operator's functions."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from chargehand.domain.task import Status
from chargehand.errors import InvalidDefinition, InvalidInput
from tests import given
from tests.given import ME
from tests.runtimes.test_model import a_modelled_core
from tests.tools.test_skills import a_skill

OWN = ("tests.tools.own_tools:weather", "tests.tools.own_tools:broken")


def a_definition(*lines: str, body: str = "You work.") -> str:
    return "\n".join(["---", "name: worker", "description: d", *lines, "---", body, ""])


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"calls": [{"name": name, "arguments": arguments}]}


async def test_a_model_sees_its_skills_loads_one_and_runs_the_operators_functions(tmp_path: Path) -> None:
    a_skill(tmp_path / "skills", "bake")
    a_skill(tmp_path / "skills", "cook")
    script = [
        {
            "match": {
                "system_contains": "Skills that you can load with the tool Skill:\n- bake: How to bake."
            },
            "turns": [
                call("Skill", skill="bake"),
                call("Skill", skill="cook"),
                call("Read", file_path=".chargehand/skills/bake/scripts/run.sh"),
                call("weather", city="Bonn"),
                call("broken", why="bad luck"),
                {"text": "Done."},
            ],
        }
    ]
    definition = a_definition("tools: Read, weather, broken", "skills: bake")
    options: dict[str, Any] = {"skills_dir": tmp_path / "skills", "tools": OWN}
    async with a_modelled_core(tmp_path, script, definition=definition, **options) as (core, _):
        ended = await given.ended(core, await given.a_task(core, "worker", {"prompt": "Go."}))

        assert (ended.status, ended.result) == (
            Status.COMPLETED,
            {"text": "Done.", "model": "anthropic:claude-test"},
        )
        told = given.rows(core, "SELECT result FROM task_steps WHERE kind = 'tool' ORDER BY path")
        parts = [
            "First this.",
            "you have no skill",
            "echo run",
            "sun 0",
            "broken failed: ValueError: bad luck",
        ]
        assert [part for part, (result,) in zip(parts, told, strict=True) if part not in result] == []


async def test_a_skill_of_a_workspace_is_no_skill(tmp_path: Path) -> None:
    (tmp_path / "skills").mkdir()
    planted = call(
        "Write", file_path=".claude/skills/evil/SKILL.md", content="---\nname: evil\ndescription: d\n---\n"
    )
    turns = [planted, call("Skill", skill="evil"), {"text": "Done."}]
    async with a_modelled_core(
        tmp_path, turns, definition=a_definition(), skills_dir=tmp_path / "skills"
    ) as (core, _):
        await given.ended(core, await given.a_task(core, "worker", {"prompt": "Go."}))

        (told,) = given.rows(core, "SELECT result FROM task_steps WHERE name = 'Skill'")
        assert "you have no skill 'evil'; there are: none" in told[0]


async def test_what_a_service_does_not_offer_is_a_finding_with_the_way_out(tmp_path: Path) -> None:
    async with given.a_core(tmp_path) as core:
        found, _ = await core.agents.publish(ME, a_definition("tools: Read, WebFetch, Skill, weather"))

        assert found.tools == ("Read",)
        assert [(one.message, one.hint.rpartition(" ")[2]) for one in found.findings[:2]] == [
            ("the tool 'WebFetch' is not offered here", "CHARGEHAND_FETCH_HOSTS"),
            ("the tool 'Skill' is not offered here", "names"),
        ]
        assert "there is no tool 'weather'" in found.findings[2].message
        with pytest.raises(InvalidDefinition, match="WebFetch"):
            await core.agents.publish(ME, a_definition("tools: WebFetch"))


async def test_what_settings_allow_is_given_and_functions_by_name_only(tmp_path: Path) -> None:
    (tmp_path / "skills").mkdir()
    options: dict[str, Any] = {
        "skills_dir": tmp_path / "skills", "tools": OWN, "fetch_hosts": ("docs.python.org",)
    }  # fmt: skip
    async with given.a_core(tmp_path, **options) as core:
        everything, _ = await core.agents.publish(ME, a_definition("skills: nothing"))
        named, _ = await core.agents.publish(ME, a_definition("tools: weather", "disallowedTools: Skill"))
        denied, _ = await core.agents.publish(
            ME, a_definition("tools: Read, WebFetch", "disallowedTools: WebFetch")
        )

        assert {"WebFetch", "Skill"} < set(everything.tools)
        assert "weather" not in everything.tools
        assert [str(one) for one in everything.findings if one.where == "skills"] == [
            "line 4: skills: there is no skill 'nothing' here"
            " (the operator puts skills into the folder that CHARGEHAND_SKILLS_DIR names)"
        ]
        assert (named.tools, denied.tools) == (("weather",), ("Read",))


async def test_an_agent_whose_tools_are_gone_can_still_be_read(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, tools=OWN) as core:
        await core.agents.publish(ME, a_definition("tools: weather"))
    async with given.a_core(tmp_path) as core:
        (found,) = [one for one in await core.agents.all(ME) if one.id == "worker"]

        assert found.tools == ()
        assert "there is no tool 'weather'" in found.findings[0].message


async def test_fetching_is_narrowed_by_the_patterns_of_a_definition(tmp_path: Path) -> None:
    definition = a_definition(
        "tools: WebFetch(domain:docs.python.org)", "disallowedTools: WebFetch(domain:b.test)"
    )
    turns = [
        call("WebFetch", url="https://other.test/"),
        call("WebFetch", url="https://x.b.test/"),
        {"text": "Done."},
    ]
    hosts: dict[str, Any] = {"fetch_hosts": ("*.test", "docs.python.org")}
    async with a_modelled_core(tmp_path, turns, definition=definition, **hosts) as (core, models):
        await given.ended(core, await given.a_task(core, "worker", {"prompt": "Go."}))

        assert len(models.log) == 3
        told = given.rows(core, "SELECT result FROM task_steps WHERE kind = 'tool'")
        assert [json.loads(one[0])["details"]["code"] for one in told] == ["refused_by_definition"] * 2


@pytest.mark.parametrize(
    ("tool", "told"),
    [
        ("weather", "not of the form package.module:function"),
        ("tests.tools.nowhere:x", "cannot be loaded: ModuleNotFoundError"),
        ("tests.tools.own_tools:missing", "cannot be loaded: AttributeError"),
        ("tests.tools.own_tools:not_marked", "is no tool: put @tool"),
        ("tests.tools.own_tools:taken", "has a name that is taken"),
    ],
)
async def test_a_tool_that_cannot_be_loaded_is_told_at_start(tmp_path: Path, tool: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        async with given.a_core(tmp_path, tools=(tool,)):
            pass


async def test_an_installed_package_brings_tools_by_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "weather_tools-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: weather-tools\nVersion: 1.0\n", "utf-8")
    (package / "entry_points.txt").write_text(
        "[chargehand.tools]\nw = tests.tools.own_tools:weather\n", "utf-8"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])

    async with given.a_core(tmp_path) as core:
        found, _ = await core.agents.publish(ME, a_definition("tools: Read, weather"))

        assert found.tools == ("Read", "weather")
