"""The held folder: what is inside is reached, what is outside is not, and nothing is ever half written."""

import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from chargehand.errors import PathRefused, ToolError
from chargehand.tools import beneath
from chargehand.tools.beneath import best_opener, open_by_kernel, open_by_walk
from chargehand.tools.disk_errors import FileChanged, FileMissing, QuotaExceeded
from chargehand.tools.entries import Quota
from chargehand.tools.ledger import Stamp
from chargehand.tools.paths import TEMPORARY_PREFIX, LogicalPath
from chargehand.tools.root_posix import PosixRoot
from chargehand.tools.workspace import Workspace

OPENERS = {"kernel": open_by_kernel, "walk": open_by_walk}


@pytest.fixture(params=OPENERS)
def held(request: pytest.FixtureRequest, folder: Path) -> Iterator[Workspace]:
    """The workspace, held in each of the two ways."""
    opener = OPENERS[request.param]
    if opener is open_by_kernel and best_opener() is not open_by_kernel:
        pytest.skip("this kernel has no openat2")
    with Workspace(folder, root=PosixRoot(folder, opener=opener)) as workspace:
        yield workspace


def read(workspace: Workspace, path: str) -> bytes:
    return workspace.read_bytes(workspace.path(path), max_bytes=1_000_000).data


def test_what_was_written_is_read_again_with_the_same_stamp(held: Workspace) -> None:
    stamp = held.write_bytes(held.path("a/b/c.txt"), b"hello")

    content = held.read_bytes(held.path("a/b/c.txt"), max_bytes=5)

    assert (content.data, content.stamp) == (b"hello", stamp)


def test_a_relative_link_that_stays_inside_is_followed_for_reading(held: Workspace, folder: Path) -> None:
    (folder / "docs").mkdir()
    (folder / "docs" / "real.txt").write_bytes(b"inside")
    (folder / "docs" / "link.txt").symlink_to("../docs/./real.txt")
    (folder / "alias").symlink_to("docs")

    assert read(held, "docs/link.txt") == b"inside"
    assert read(held, "alias/link.txt") == b"inside"


@pytest.mark.parametrize(
    "target",
    ["../secret.txt", "{outside}", "/proc/self/environ", "{folder}/real.txt", "sub/../../secret.txt"],
)
def test_a_link_that_leaves_or_is_absolute_is_refused(
    held: Workspace, folder: Path, outside: Path, target: str
) -> None:
    (folder / "real.txt").write_bytes(b"inside")
    (folder / "sub").mkdir()
    (folder / "link.txt").symlink_to(target.format(outside=outside, folder=folder))

    with pytest.raises(PathRefused, match="symbolic link") as refusal:
        read(held, "link.txt")
    assert str(folder) not in refusal.value.message


@pytest.mark.parametrize("target", ["..", "{parent}", "/"])
def test_a_linked_folder_that_leaves_is_refused_for_every_use(
    held: Workspace, folder: Path, outside: Path, target: str
) -> None:
    (folder / "up").symlink_to(target.format(parent=outside.parent))
    inside_it = LogicalPath(("up", "secret.txt"))

    uses = {
        "read": lambda: held.read_bytes(inside_it, max_bytes=100),
        "write": lambda: held.write_bytes(inside_it, b"x"),
        "create": lambda: held.write_bytes(LogicalPath(("up", "new", "x.txt")), b"x"),
        "stat": lambda: held.stat(inside_it),
        "exists": lambda: held.exists(inside_it),
        "remove": lambda: held.remove(inside_it),
        "list": lambda: held.listing(LogicalPath(("up",))),
        "make": lambda: held.make_folder(LogicalPath(("up", "new"))),
    }
    for use in uses.values():
        with pytest.raises(ToolError):
            use()

    assert outside.read_text(encoding="utf-8") == "the secret"
    assert not (outside.parent / "new").exists()


def test_a_linked_folder_is_not_listed_even_inside(held: Workspace, folder: Path) -> None:
    (folder / "docs").mkdir()
    (folder / "alias").symlink_to("docs")

    with pytest.raises(PathRefused):
        held.listing(LogicalPath(("alias",)))


def test_a_chain_of_links_without_end_is_refused(held: Workspace, folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")

    with pytest.raises(PathRefused):
        read(held, "a")


def test_nothing_is_written_through_a_link_even_inside(held: Workspace, folder: Path) -> None:
    (folder / "docs").mkdir()
    (folder / "alias").symlink_to("docs")

    with pytest.raises(PathRefused, match="real path"):
        held.write_bytes(held.path("alias/x.txt"), b"x")
    assert list((folder / "docs").iterdir()) == []


def test_a_link_at_the_path_is_replaced_and_not_followed(
    held: Workspace, folder: Path, outside: Path
) -> None:
    (folder / "notes.txt").symlink_to(outside)

    held.write_bytes(held.path("notes.txt"), b"mine")

    assert outside.read_text(encoding="utf-8") == "the secret"
    assert not (folder / "notes.txt").is_symlink()
    assert read(held, "notes.txt") == b"mine"


def test_writing_to_a_hard_link_leaves_the_other_name_as_it_was(
    held: Workspace, folder: Path, outside: Path
) -> None:
    (folder / "hard.txt").hardlink_to(outside)

    held.write_bytes(held.path("hard.txt"), b"mine")

    assert outside.read_text(encoding="utf-8") == "the secret"


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs the links of /proc")
def test_a_path_through_another_mount_is_refused(folder: Path) -> None:
    with Workspace(Path("/")) as whole_disk:
        for opener in OPENERS.values():
            root = PosixRoot(Path("/"), opener=opener)
            with pytest.raises(OSError, match=os.strerror(errno.EXDEV)):
                root.open_file(LogicalPath(("proc", "self", "environ")))
            root.close()
        with pytest.raises(PathRefused):
            whole_disk.read_bytes(LogicalPath(("proc", "self", "environ")), max_bytes=100)


def test_a_pipe_is_refused_at_once_instead_of_waited_for(held: Workspace, folder: Path) -> None:
    os.mkfifo(folder / "pipe")

    with pytest.raises(PathRefused, match="no regular file"):
        read(held, "pipe")


def test_a_socket_is_refused(held: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)  # A socket's path has little room.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("door")

        with pytest.raises(PathRefused, match="no regular file"):
            read(held, "door")


def test_a_device_is_refused(held: Workspace, folder: Path) -> None:
    try:
        os.mknod(folder / "zero", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")

    with pytest.raises(ToolError):
        read(held, "zero")


def test_a_folder_is_no_file_to_read_or_to_write(held: Workspace) -> None:
    held.make_folder(held.path("sub/deep"))

    with pytest.raises(ToolError, match="is a folder"):
        read(held, "sub")
    with pytest.raises(ToolError, match="is a folder"):
        held.write_bytes(held.path("sub"), b"x")


def test_a_file_in_the_place_of_a_folder_is_named(held: Workspace) -> None:
    held.write_bytes(held.path("a"), b"x")

    for use in (lambda: read(held, "a/b"), lambda: held.write_bytes(held.path("a/b/c"), b"x")):
        with pytest.raises(ToolError, match="where a folder is needed"):
            use()


def test_a_file_larger_than_asked_for_is_refused_before_it_is_read(held: Workspace, folder: Path) -> None:
    with (folder / "huge.bin").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(ToolError, match=r"1,099,511,627,776 bytes"):
        read(held, "huge.bin")


def test_a_missing_file_is_named_without_the_hosts_path(held: Workspace, folder: Path) -> None:
    with pytest.raises(FileMissing) as missing:
        read(held, "no/such.txt")

    assert missing.value.message == "'no/such.txt': there is no such file or folder"
    assert str(folder) not in repr(missing.value)


def test_permissions_are_kept_but_never_setuid(held: Workspace, folder: Path) -> None:
    (folder / "run.sh").write_bytes(b"old")
    (folder / "run.sh").chmod(0o6751)

    held.write_bytes(held.path("run.sh"), b"new")

    assert stat.S_IMODE((folder / "run.sh").stat().st_mode) == 0o751


def test_a_write_that_expects_other_content_changes_nothing(held: Workspace) -> None:
    first = held.write_bytes(held.path("a.txt"), b"one")
    held.write_bytes(held.path("a.txt"), b"two")

    with pytest.raises(FileChanged):
        held.write_bytes(held.path("a.txt"), b"three", expected=first)
    assert read(held, "a.txt") == b"two"

    held.write_bytes(held.path("a.txt"), b"three", expected=Stamp.of(b"two"))
    assert read(held, "a.txt") == b"three"


def test_a_write_of_a_new_file_does_not_replace_one(held: Workspace) -> None:
    held.write_bytes(held.path("a.txt"), b"one", only_new=True)

    with pytest.raises(FileChanged, match="created meanwhile"):
        held.write_bytes(held.path("a.txt"), b"two", only_new=True)
    assert read(held, "a.txt") == b"one"


def test_of_many_holders_that_expect_the_same_content_one_wins(held: Workspace, folder: Path) -> None:
    path = held.path("a.txt")
    before = held.write_bytes(path, b"start")
    outcomes: list[str] = []

    def write(number: int) -> None:
        with Workspace(folder) as workspace:
            try:
                workspace.write_bytes(path, f"writer {number}".encode(), expected=before)
                outcomes.append("won")
            except FileChanged:
                outcomes.append("lost")

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(10)

    assert sorted(outcomes) == ["lost"] * 7 + ["won"]


def test_a_listing_is_by_name_and_shows_no_file_in_the_making(held: Workspace, folder: Path) -> None:
    for name in ("b.txt", "a.txt", f"{TEMPORARY_PREFIX}0011223344556677"):
        (folder / name).write_bytes(b"x")
    (folder / "link").symlink_to("/etc")

    entries = held.listing(LogicalPath())

    assert [(str(entry.path), entry.kind.value) for entry in entries] == [
        ("a.txt", "file"),
        ("b.txt", "file"),
        ("link", "link"),
    ]


def test_a_walk_lists_links_but_does_not_follow_them(held: Workspace, folder: Path, outside: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_bytes(b"x")
    (folder / "sub" / "up").symlink_to(outside.parent)
    (folder / "loop").symlink_to(".")

    assert [str(entry.path) for entry in held.walk(LogicalPath())] == ["loop", "sub", "sub/a.txt", "sub/up"]


def test_a_name_that_is_no_text_is_walked_and_escaped(held: Workspace, folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.txt")).write_bytes(b"x")

    (entry,) = held.walk(LogicalPath())

    assert held.read_bytes(entry.path, max_bytes=10).data == b"x"


def test_the_quota_of_bytes_refuses_a_write_and_keeps_what_is_there(folder: Path) -> None:
    with Workspace(folder, quota=Quota(max_bytes=100, max_files=10)) as workspace:
        workspace.write_bytes(workspace.path("a.txt"), b"x" * 60)

        with pytest.raises(QuotaExceeded, match="100 bytes"):
            workspace.write_bytes(workspace.path("b.txt"), b"x" * 41)
        assert not workspace.exists(workspace.path("b.txt"))

        workspace.write_bytes(workspace.path("a.txt"), b"x" * 100)
        with pytest.raises(QuotaExceeded):
            workspace.write_bytes(workspace.path("a.txt"), b"x" * 101)
        assert read(workspace, "a.txt") == b"x" * 100


def test_what_another_holder_of_the_folder_writes_counts_too(folder: Path) -> None:
    quota = Quota(max_bytes=100)
    with Workspace(folder, quota=quota) as one, Workspace(folder, quota=quota) as other:
        one.write_bytes(one.path("a.txt"), b"x" * 60)
        other.write_bytes(other.path("b.txt"), b"x" * 30)

        with pytest.raises(QuotaExceeded):
            one.write_bytes(one.path("c.txt"), b"x" * 20)


def test_the_quota_of_files_counts_folders_too(folder: Path) -> None:
    with Workspace(folder, quota=Quota(max_bytes=1000, max_files=3)) as workspace:
        workspace.write_bytes(workspace.path("a/b/c.txt"), b"x")

        with pytest.raises(QuotaExceeded, match="3 files and folders"):
            workspace.write_bytes(workspace.path("d.txt"), b"x")
        workspace.write_bytes(workspace.path("a/b/c.txt"), b"xy")


def test_room_that_a_command_made_is_seen_before_a_write_is_refused(folder: Path) -> None:
    with Workspace(folder, quota=Quota(max_bytes=100)) as workspace:
        workspace.write_bytes(workspace.path("a.txt"), b"x" * 90)
        (folder / "a.txt").unlink()

        workspace.write_bytes(workspace.path("b.txt"), b"x" * 90)

        assert workspace.usage().size_bytes == 90


def test_what_a_command_filled_up_counts_once_it_was_measured(folder: Path) -> None:
    with Workspace(folder, quota=Quota(max_bytes=100)) as workspace:
        workspace.write_bytes(workspace.path("a.txt"), b"x")
        (folder / "big.bin").write_bytes(b"x" * 200)

        assert workspace.usage().size_bytes == 201
        with pytest.raises(QuotaExceeded):
            workspace.write_bytes(workspace.path("b.txt"), b"x")


KILLED_WRITER = """
import os, sys
from pathlib import Path
from chargehand.tools.workspace import Workspace

def stop_here(*_, **__):
    print("between", flush=True)
    sys.stdin.read()

os.replace = stop_here
with Workspace(Path(sys.argv[1])) as workspace:
    workspace.write_bytes(workspace.path("a.txt"), b"new" * 100_000)
"""


def test_a_writer_killed_before_its_rename_leaves_the_old_content_and_nothing_to_see(
    held: Workspace, folder: Path
) -> None:
    held.write_bytes(held.path("a.txt"), b"old")
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED_WRITER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stdin is not None
    assert writer.stdout.readline() == b"between\n"

    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=10)

    leftovers = list(folder.glob(f"{TEMPORARY_PREFIX}*"))
    assert len(leftovers) == 1
    assert read(held, "a.txt") == b"old"
    assert [str(entry.path) for entry in held.walk(LogicalPath())] == ["a.txt"]


def test_a_write_that_fails_leaves_no_file_in_the_making(
    held: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)

    with pytest.raises(ToolError, match="the disk is full"):
        held.write_bytes(held.path("a.txt"), b"x")
    assert list(folder.iterdir()) == []


def test_no_descriptor_is_left_open_whatever_fails(held: Workspace, folder: Path, outside: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "out").symlink_to(outside)
    os.mkfifo(folder / "sub" / "pipe")
    before = len(list(Path("/dev/fd").iterdir()))

    for name in ("sub/out", "sub/pipe", "sub/missing", "sub", "missing/x", "sub/pipe/x"):
        with pytest.raises(ToolError):
            read(held, name)
    held.write_bytes(held.path("new/a.txt"), b"x")
    for use in (held.listing, held.stat, held.exists):
        use(LogicalPath(("sub",)))
    with pytest.raises(ToolError):
        held.write_bytes(held.path("sub/pipe/x"), b"x")

    assert len(list(Path("/dev/fd").iterdir())) == before


def test_a_closed_workspace_reads_nothing(folder: Path) -> None:
    workspace = Workspace(folder)
    workspace.write_bytes(workspace.path("a.txt"), b"x")
    workspace.close()
    workspace.close()

    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        read(workspace, "a.txt")


def test_the_kernels_way_refuses_a_nul_that_would_cut_the_path(folder: Path) -> None:
    (folder / "real.txt").write_bytes(b"x")
    root = os.open(folder, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):
            open_by_kernel(root, ("real.txt\x00x",), os.O_RDONLY, follow=True)
    finally:
        os.close(root)


def test_where_the_kernel_has_no_such_call_the_walk_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(beneath, "open_by_kernel", missing)
    best_opener.cache_clear()
    try:
        assert best_opener() is open_by_walk
    finally:
        best_opener.cache_clear()
