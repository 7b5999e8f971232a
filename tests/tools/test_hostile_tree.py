"""Whatever links a workspace holds and whatever path is asked for, nothing from outside comes back."""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chargehand.errors import ToolError
from chargehand.tools.beneath import Opener, best_opener, open_by_kernel, open_by_walk
from chargehand.tools.paths import LogicalPath
from chargehand.tools.root_posix import PosixRoot
from chargehand.tools.workspace import Workspace

NAMES = ("a", "b", "c", "f.txt", "secret.txt", "outside", "workspace")
TARGETS = (
    "..",
    ".",
    "../..",
    "a",
    "b/c",
    "../a/b",
    "a/../../outside",
    "../outside/secret.txt",
    "c/../..",
    "/",
    "{outside}",
    "{workspace}",
    "a/./b//../b",
    "../workspace/../outside",
)

_TREES = itertools.count()

link_trees = st.dictionaries(
    st.tuples(st.sampled_from(NAMES[:4]), st.sampled_from(NAMES)), st.sampled_from(TARGETS)
)
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=6).map(lambda names: LogicalPath(tuple(names)))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(params=[open_by_kernel, open_by_walk], scope="module")
def opener(request: pytest.FixtureRequest) -> Opener:
    if request.param is open_by_kernel and best_opener() is not open_by_kernel:
        pytest.skip("this kernel has no openat2")
    return request.param


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(links=link_trees, asked=st.lists(paths, min_size=1, max_size=8))
def test_no_path_through_any_links_gives_what_lies_outside(
    place: Path, opener: Opener, links: dict[tuple[str, str], str], asked: list[LogicalPath]
) -> None:
    folder = hostile_tree(place, links)

    with Workspace(folder, root=PosixRoot(folder, opener=opener)) as workspace:
        for path in asked:
            assert b"secret" not in attempted_read(workspace, path)
            attempted_write(workspace, path)
        walked = [entry.path for entry in workspace.walk(LogicalPath())]

    assert (folder.parent / "outside" / "secret.txt").read_bytes() == b"secret"
    assert [path.name for path in (folder.parent / "outside").iterdir()] == ["secret.txt"]
    assert all(folder.joinpath(*path.parts[:-1]).resolve().is_relative_to(folder) for path in walked)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(links=link_trees, asked=st.lists(paths, min_size=1, max_size=8))
def test_the_walk_answers_as_the_kernel_does(
    place: Path, links: dict[tuple[str, str], str], asked: list[LogicalPath]
) -> None:
    if best_opener() is not open_by_kernel:
        pytest.skip("this kernel has no openat2 to compare with")
    folder = hostile_tree(place, links)

    roots = [PosixRoot(folder, opener=opener) for opener in (open_by_kernel, open_by_walk)]
    with Workspace(folder, root=roots[0]) as by_kernel, Workspace(folder, root=roots[1]) as by_walk:
        for path in asked:
            assert attempted_read(by_kernel, path) == attempted_read(by_walk, path), path


def hostile_tree(place: Path, links: dict[tuple[str, str], str]) -> Path:
    """A fresh workspace with a/b/c/f.txt and the links, beside a folder with a secret."""
    top = place / str(next(_TREES))
    folder = (top / "workspace").resolve()
    (folder / "a" / "b" / "c").mkdir(parents=True)
    (folder / "a" / "b" / "c" / "f.txt").write_bytes(b"inside")
    (top / "outside").mkdir()
    (top / "outside" / "secret.txt").write_bytes(b"secret")
    for (parent, name), target in links.items():
        at = folder / parent if (folder / parent).is_dir() and not (folder / parent).is_symlink() else folder
        if not os.path.lexists(at / name):
            (at / name).symlink_to(target.format(outside=top / "outside", workspace=folder))
    return folder


def attempted_read(workspace: Workspace, path: LogicalPath) -> bytes:
    try:
        return workspace.read_bytes(path, max_bytes=100).data
    except ToolError as error:
        return error.code.encode()


def attempted_write(workspace: Workspace, path: LogicalPath) -> None:
    try:
        workspace.write_bytes(path.child("made.txt"), b"x")
    except ToolError:
        return
