"""Skills: found at start, listed in a bounded way, loaded with their files, and never more than their folder."""

from pathlib import Path

import pytest

from chargehand.domain.values import JsonValue
from chargehand.errors import InvalidInput
from chargehand.tools import skills
from chargehand.tools.base import ToolContext, ToolResult, call_tool
from chargehand.tools.skills import SkillTool, find_skills

TEXT = "---\nname: {name}\ndescription: How to {name}.\nlicense: MIT\n---\n# Steps\nFirst this.\n"


def a_skill(home: Path, name: str, text: str | None = None) -> Path:
    folder = home / name
    (folder / "scripts").mkdir(parents=True)
    (folder / "SKILL.md").write_text(text or TEXT.format(name=name), encoding="utf-8")
    (folder / "scripts" / "run.sh").write_text("echo run\n", encoding="utf-8")
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    made = tmp_path / "skills"
    a_skill(made, "bake")
    a_skill(made, "cook")
    (made / "no-skill").mkdir()
    return made


async def load(context: ToolContext, home: Path, name: str, **arguments: JsonValue) -> ToolResult:
    return await call_tool(
        {"Skill": SkillTool(skills=find_skills(home))}, context, "Skill", {"skill": name, **arguments}
    )


async def test_a_skill_is_loaded_with_its_files(context: ToolContext, home: Path, folder: Path) -> None:
    result = await load(context, home, "bake", args="bread")

    assert result.content == (
        "# Steps\nFirst this.\n\n[The skill's folder is .chargehand/skills/bake; in it: scripts/run.sh]\n\n"
        "[It was loaded for: bread]"
    )
    assert (folder / ".chargehand/skills/bake/scripts/run.sh").read_text("utf-8") == "echo run\n"
    assert not (folder / ".chargehand/skills/cook").exists()


async def test_an_unknown_skill_is_told_with_those_that_there_are(context: ToolContext, home: Path) -> None:
    result = await load(context, home, "sew")

    assert result.is_error
    assert "you have no skill 'sew'; there are: bake, cook" in result.content


def test_an_agent_sees_those_it_names_or_all(home: Path) -> None:
    tool = SkillTool(skills=find_skills(home))

    assert tool.listing().splitlines()[1:] == ["- bake: How to bake.", "- cook: How to cook."]
    assert tool.for_names(("cook", "sew")).listing().splitlines()[1:] == ["- cook: How to cook."]
    assert SkillTool(skills={}).listing() == ""


def test_the_listing_is_bounded(tmp_path: Path) -> None:
    for number in range(30):
        name = f"s{number:02}"
        a_skill(tmp_path, name, TEXT.format(name=name).replace("How to", "x" * 2_000))

    listing = SkillTool(skills=find_skills(tmp_path)).listing()

    assert len(listing) < skills.MAX_LISTED_CHARACTERS + 200
    assert listing.endswith("and 11 more")


async def test_a_link_out_of_the_folder_is_not_followed_and_nothing_is_copied(
    context: ToolContext, home: Path, folder: Path, outside: Path
) -> None:
    (home / "bake" / "scripts" / "z.txt").symlink_to(outside)
    (home / "cook" / "up").symlink_to(home)

    for name in ("bake", "cook"):
        result = await load(context, home, name)
        assert result.is_error
        assert "is a link out of it" in result.content
    assert not (folder / ".chargehand" / "skills").exists()


async def test_a_skill_that_is_too_large_is_not_loaded(context: ToolContext, home: Path) -> None:
    for number in range(skills.MAX_FILES):
        (home / "bake" / f"{number}.txt").touch()

    assert "was not loaded: it has more than 200 files" in (await load(context, home, "bake")).content


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("no front matter", "lacks front matter"),
        ("---\nname: x\n---\nbody", "`description` is missing"),
        ("---\nname: ../x\ndescription: d\n---\n", "cannot be a skill's name"),
        ("---\nname: cook\ndescription: d\n---\n", "two skills are called 'cook'"),
        ("---\nname: [\n---\n", "is not YAML"),
    ],
)
def test_a_skill_that_cannot_be_used_is_told_at_start(home: Path, text: str, told: str) -> None:
    a_skill(home, "wrong", text)

    with pytest.raises(InvalidInput, match=told):
        find_skills(home)


def test_a_folder_that_is_not_there_is_told_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="CHARGEHAND_SKILLS_DIR"):
        find_skills(tmp_path / "none")
