"""`agents lint` and `agents import` on files of the corpus, against a real service."""

import json
import zipfile
from pathlib import Path

from tests.cli.service import Cli, Running
from tests.domain.corpus.definitions import corpus

BAD = "---\nname: bad\ndescription: d\ntools: docker\n---\nbody\n"
GOOD = "---\nname: good\ndescription: d: e\n---\n## Deliverables\n- A plan\n"


def test_lint_tells_each_finding_with_its_file_and_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "good.md").write_text(GOOD, encoding="utf-8")
    done = cli.call("agents", "lint", str(tmp_path / "good.md"))

    assert done.returncode == 0, done.stderr
    assert f"{tmp_path / 'good.md'}:3: note: front matter" in done.stdout
    assert "suggestion: the text says that it delivers: A plan" in done.stdout


def test_lint_fails_only_for_a_refused_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.md").write_text(BAD, encoding="utf-8")
    (tmp_path / "good.md").write_text(GOOD, encoding="utf-8")
    done = cli.call("agents", "lint", str(tmp_path), "--json")

    assert done.returncode == 2
    told = json.loads(done.stdout)
    assert (told["refused"], [one["result"] for one in told["files"]]) == (1, ["refused", "read"])
    assert told["files"][0]["findings"][0]["line"] == 4
    assert cli.call("agents", "lint", str(tmp_path / "none")).returncode == 2


def test_lint_judges_tools_and_skills_by_what_the_environment_offers(cli: Cli, tmp_path: Path) -> None:
    skill = tmp_path / "skills" / "bake"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: bake\ndescription: d\n---\nbody\n", encoding="utf-8")
    text = "---\nname: a\ndescription: d\ntools: Read, WebFetch\nskills: bake, sew\n---\nbody\n"
    (tmp_path / "a.md").write_text(text, encoding="utf-8")

    without = cli.call("agents", "lint", str(tmp_path / "a.md"))
    offering = cli.with_environment(
        CHARGEHAND_FETCH_HOSTS='["a.test"]', CHARGEHAND_SKILLS_DIR=str(tmp_path / "skills")
    ).call("agents", "lint", str(tmp_path / "a.md"))

    assert "a.md:4: note: tools: the tool 'WebFetch' is not offered here" in without.stdout
    assert "sew" not in without.stdout
    assert "WebFetch" not in offering.stdout
    assert "a.md:5: note: skills: there is no skill 'sew' here" in offering.stdout
    assert "bake" not in offering.stdout


def test_a_folder_of_the_corpus_is_imported_and_the_second_time_unchanged(
    cli: Cli, service: Running, tmp_path: Path
) -> None:
    del service
    samples = list(corpus())
    for sample in samples:
        file = tmp_path / sample.path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(sample.content)
    good = sum(sample.recovered for sample in samples)
    repaired = sum(sample.recovered and bool(sample.findings) for sample in samples)

    first = json.loads(cli.call("agents", "import", str(tmp_path), "--source", "wild", "--json").stdout)
    again = json.loads(cli.call("agents", "import", str(tmp_path), "--source", "wild", "--json").stdout)

    assert (first["imported"], first["refused"], first["passed_over"]) == (good, len(samples) - good - 5, 5)
    assert first["repaired"] == repaired
    assert (again["imported"], again["unchanged"]) == (0, good)
    listed = {one["id"] for one in json.loads(cli.call("agents", "list", "--json").stdout)}
    assert len([one for one in listed if one.startswith("wild.")]) == good


def test_an_archive_is_read_without_being_unpacked(cli: Cli, service: Running, tmp_path: Path) -> None:
    del service
    with zipfile.ZipFile(tmp_path / "agents.zip", "w") as archive:
        archive.writestr("../../escape.md", GOOD)
        archive.writestr("a/bad.md", BAD)
        archive.writestr("picture.png", b"\x00")
    done = cli.call("agents", "import", str(tmp_path / "agents.zip"))

    assert done.returncode == 2
    assert "a/bad.md:4: refused: tools: there is no tool 'docker'" in done.stdout
    assert "1 imported, 0 unchanged" in done.stdout
    assert not list(tmp_path.parent.rglob("escape.md"))
    assert cli.call("agents", "show", "agents.escape").returncode == 0


LEADER = """---
name: leader
description: Leads.
tools: Read, Task
---
## When to delegate
- reviewer: looks at the work
- **leader**: nobody hands work to themselves
- stranger: is not here
"""
REVIEWER = "---\nname: reviewer\ndescription: Reviews.\ntools: Read\n---\n## Delegates to\n- leader\n"


def test_delegates_are_taken_from_the_text_only_when_that_is_asked_for(
    cli: Cli, service: Running, tmp_path: Path
) -> None:
    del service
    (tmp_path / "leader.md").write_text(LEADER, encoding="utf-8")
    (tmp_path / "reviewer.md").write_text(REVIEWER, encoding="utf-8")

    def delegates_of(agent_id: str) -> list[str]:
        shown = json.loads(cli.call("agents", "show", agent_id, "--json").stdout)
        return shown["chargehand"]["delegates"]

    cli.call("agents", "import", str(tmp_path), "--source", "one")
    assert delegates_of("one.leader") == []

    done = cli.call("agents", "import", str(tmp_path), "--source", "two", "--delegates")
    assert "leader.md:1: may hand work to: two.reviewer" in done.stdout
    assert delegates_of("two.leader") == ["two.reviewer"]
    assert delegates_of("two.reviewer") == []  # It lists no tool to hand work out with.
    again = cli.call("agents", "import", str(tmp_path), "--source", "two", "--delegates", "--json")
    assert json.loads(again.stdout)["unchanged"] == 2


def test_a_dry_run_registers_nothing(cli: Cli, service: Running, tmp_path: Path) -> None:
    del service
    (tmp_path / "dry.md").write_text(GOOD.replace("good", "dry-run-agent"), encoding="utf-8")
    done = cli.call("agents", "import", str(tmp_path / "dry.md"), "--dry-run")

    assert "1 would be imported" in done.stdout
    assert cli.call("agents", "show", "dry-run-agent").returncode == 4


def test_what_is_no_archive_is_refused(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(b"no zip")
    done = cli.call("agents", "lint", str(tmp_path / "a.zip"))

    assert done.returncode == 2
    assert "cannot be read as a zip archive" in done.stderr


def test_what_was_repaired_and_what_is_asked_for_is_told_of_a_registered_agent(
    cli: Cli, service: Running, tmp_path: Path
) -> None:
    del service
    text = "---\nname: wishful\ndescription: d: e\nmodel: opus\n---\nBody.\n"
    (tmp_path / "wishful.md").write_text(text, encoding="utf-8")
    cli.call("agents", "import", str(tmp_path / "wishful.md"))

    shown = json.loads(cli.call("agents", "show", "wishful", "--json").stdout)
    assert (shown["format"], shown["wishes"]) == ("claude", {"model": "opus"})
    assert [one["line"] for one in shown["findings"]] == [3, 2]
    told = cli.call("agents", "show", "wishful").stdout
    assert "model opus" in told
    assert "note, line 3: front matter" in told


def test_a_file_without_front_matter_beside_agents_is_passed_over_and_alone_it_is_refused(
    cli: Cli, service: Running, tmp_path: Path
) -> None:
    del service
    readme = tmp_path / "README.md"
    readme.write_text("# Our agents\n\n```markdown\n---\nname: a\n---\n```\n", encoding="utf-8")
    (tmp_path / "good.md").write_text(GOOD, encoding="utf-8")

    linted = cli.call("agents", "lint", str(tmp_path))
    imported = cli.call("agents", "import", str(tmp_path), "--source", "beside")
    alone = cli.call("agents", "lint", str(readme))

    for done in (linted, imported):
        assert done.returncode == 0, done.stdout
        assert f"{readme}:1: passed over: it has no front matter" in done.stdout
        assert done.stdout.endswith(", 1 passed over\n")
    assert alone.returncode == cli.call("agents", "import", str(readme)).returncode == 2
    assert "refused: front matter: lacks front matter" in alone.stdout
    (tmp_path / "broken.md").write_text("---\nname: a\n", encoding="utf-8")
    assert cli.call("agents", "lint", str(tmp_path)).returncode == 2


def test_an_import_tells_the_ids_that_it_made_with_their_tools(
    cli: Cli, service: Running, tmp_path: Path
) -> None:
    del service
    for number in range(22):
        text = f"---\nname: n{number}\ndescription: d\ntools: Read, mcp__hub__find\n---\nBody.\n"
        (tmp_path / f"n{number:02}.md").write_text(text, encoding="utf-8")
    (tmp_path / "n01.md").write_text(GOOD, encoding="utf-8")

    told = cli.call("agents", "import", str(tmp_path), "--source", "told").stdout.splitlines()
    linted = cli.call("agents", "lint", str(tmp_path / "n00.md")).stdout

    assert told[0] == "told.n00 imported; tools: Read, mcp__hub__find"
    assert told[1].startswith("told.n01 imported; tools: all (Read, Write, ")
    assert (len(told), told[20]) == (22, "… and 2 more (see `agents list`)")
    assert "tools of MCP servers, there where those are configured and approved: mcp__hub__find\n" in linted


def test_a_definition_without_tools_is_shown_and_put_with_all(
    cli: Cli, service: Running, tmp_path: Path
) -> None:
    del service
    (tmp_path / "all.md").write_text(
        "---\nname: allowed-all\ndescription: d\ntool: Read\n---\nBody.\n", "utf-8"
    )
    put = cli.call("agents", "put", str(tmp_path / "all.md")).stdout

    assert "tools: all (Read, Write, " in put
    assert "note, line 4: tool: is not a known key, and there is no `tools`: it gets all tools" in put
    assert " all (Read, Write, " in cli.call("agents", "show", "allowed-all").stdout
