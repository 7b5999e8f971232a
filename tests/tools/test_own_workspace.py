"""A copy of a workspace and the way back: file by file, links left alone, nothing overwritten unseen."""

import sys
from pathlib import Path

import pytest

from chargehand.errors import ToolError
from chargehand.tools.own_workspace import Changes, bring_back, make_copy, read_base
from chargehand.tools.workspace import Quota, Workspace


def files_in(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in found}


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    for name in ("keep", "edit", "gone", "src/run.sh", ".git/HEAD"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n", "utf-8")
    (folder / "src" / "run.sh").chmod(0o755)
    return folder


@pytest.fixture
def own(shared: Path) -> Path:
    target = shared.with_name("own")
    copy(shared, target)
    return target


def copy(shared: Path, target: Path, quota: Quota | None = None) -> None:
    with Workspace(shared) as source:
        make_copy(source, target, quota or Quota(), lambda: None)


def back(own: Path, shared: Path) -> Changes:
    with Workspace(own) as mine, Workspace(shared) as target:
        return bring_back(mine, target, read_base(own), task_id="t-1", passed_over={".git"})


def test_what_the_copy_changed_comes_back_and_a_second_time_changes_nothing(shared: Path, own: Path) -> None:
    assert files_in(own) == files_in(shared)
    (own / "edit").write_text("edited\n", "utf-8")
    (own / "new").mkdir()
    (own / "new" / "one").write_text("1\n", "utf-8")
    (own / "new" / "one").chmod(0o755)
    (own / "gone").unlink()
    (own / ".git" / "HEAD").write_text("elsewhere\n", "utf-8")

    for _ in range(2):
        changes = back(own, shared)
        assert (changes.applied, changes.conflicts) == (["edit", "gone", "new/one"], [])
        assert files_in(shared) == {
            "keep": "keep\n",
            "edit": "edited\n",
            "new/one": "1\n",
            "src/run.sh": "src/run.sh\n",
            ".git/HEAD": ".git/HEAD\n",
        }
    if sys.platform != "win32":
        assert (shared / "new" / "one").stat().st_mode & 0o100
        assert (own / "src" / "run.sh").stat().st_mode & 0o100


def test_what_the_shared_one_changed_meanwhile_is_left_and_told(shared: Path, own: Path) -> None:
    for folder in (shared, own):
        (folder / "edit").write_text(f"{folder.name}\n", "utf-8")
        (folder / "fresh").write_text(f"{folder.name}\n", "utf-8")
    (own / "gone").unlink()
    (shared / "gone").write_text("still needed\n", "utf-8")
    (own / "keep").write_text("mine\n", "utf-8")
    (shared / "keep").unlink()
    (shared / "keep").mkdir()

    changes = back(own, shared)

    assert changes.applied == []
    assert [path for path, _ in changes.conflicts] == ["edit", "fresh", "gone", "keep"]
    found = files_in(shared)
    assert (found["edit"], found["fresh"], found["gone"]) == ("shared\n", "shared\n", "still needed\n")
    assert found[".chargehand/conflicts/t-1/edit"] == "own\n"
    assert "is a folder" in changes.conflicts[3][1]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_are_neither_followed_nor_copied_in_either_direction(shared: Path, own: Path) -> None:
    secret = shared.with_name("secret")
    secret.write_text("secret\n", "utf-8")
    (shared / "link").symlink_to(secret)
    again = shared.with_name("again")
    copy(shared, again)
    assert not (again / "link").is_symlink()
    assert "link" not in files_in(again)

    (own / "edit").unlink()
    (own / "edit").symlink_to(secret)
    (own / "src" / "run.sh").write_text("changed\n", "utf-8")
    (shared / "src" / "run.sh").unlink()
    (shared / "src" / "run.sh").symlink_to(secret)

    changes = back(own, shared)

    assert [path for path, _ in changes.conflicts] == ["edit", "src/run.sh"]
    assert secret.read_text("utf-8") == "secret\n"
    assert (shared / "edit").read_text("utf-8") == "edit\n"


def test_a_copy_that_was_cut_short_is_made_anew_and_a_whole_one_is_kept(shared: Path, tmp_path: Path) -> None:
    target = tmp_path / "cut"
    (tmp_path / "cut.making").mkdir()
    (tmp_path / "cut.making" / "half").write_text("h", "utf-8")

    copy(shared, target)
    assert "half" not in files_in(target)
    (target / "edit").write_text("worked\n", "utf-8")
    copy(shared, target)
    assert files_in(target)["edit"] == "worked\n"


def test_a_workspace_that_is_too_large_is_not_copied(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="larger than a workspace may be"):
        copy(shared, tmp_path / "target", Quota(max_bytes=20))
    with pytest.raises(ToolError, match="larger than a workspace may be"):
        copy(shared, tmp_path / "target", Quota(max_files=2))
    assert not (tmp_path / "target").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="such names cannot be made there")
def test_names_that_no_tool_may_write_are_told_in_print(shared: Path, own: Path) -> None:
    (own / "a\nb").write_text("x", "utf-8")
    (own / "aux.txt").write_text("x", "utf-8")

    changes = back(own, shared)

    assert [path for path, _ in changes.conflicts] == ["a\\nb", "aux.txt"]
    assert sorted(files_in(shared)) == sorted(files_in(own).keys() - {"a\nb", "aux.txt"})
