"""Both ways of opening below a descriptor, against every kind of way out: one set of answers for both."""

import ctypes
import errno
import os
import platform
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("Windows holds handles instead: test_root_windows.py", allow_module_level=True)

from chargehand.tools import beneath, root_posix
from chargehand.tools.beneath import Opener, best_opener, open_by_kernel, open_by_walk
from chargehand.tools.paths import LogicalPath
from chargehand.tools.root_posix import PosixRoot

READ = os.O_RDONLY | os.O_NONBLOCK
FOLDER = os.O_RDONLY | os.O_DIRECTORY
HAS_OPENAT2 = sys.platform == "linux" and tuple(map(int, platform.release().split(".")[:2])) >= (5, 6)
OPENERS = [open_by_walk, *([open_by_kernel] if HAS_OPENAT2 else [])]


@pytest.fixture(params=OPENERS, ids=lambda opener: opener.__name__)
def opener(request: pytest.FixtureRequest) -> Opener:
    return request.param


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A workspace with links of every kind, beside a secret."""
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "workspace"
    (folder / "real" / "deep").mkdir(parents=True)
    (folder / "real" / "f.txt").write_text("inside")
    (folder / "real" / "deep" / "g.txt").write_text("deeper")
    links = {
        "up": "../secret.txt",
        "root": "/",
        "absolute": str(folder / "real" / "f.txt"),
        "inside": "real/f.txt",
        "inside-folder": "./real",
        "round-about": "real/deep/../f.txt",
        "round-a-dot": "real/deep/./../f.txt",
        "past-the-top": "real/../../secret.txt",
        "loop": "loop",
        "doubled": "real//.//f.txt",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    Path(folder / "real" / "deep" / "up-inside").symlink_to("../f.txt")
    return folder


@pytest.fixture
def root(place: Path) -> Iterator[int]:
    descriptor = os.open(place, FOLDER)
    yield descriptor
    os.close(descriptor)


def content(opener: Opener, root: int, path: str, *, follow: bool = True, flags: int = READ) -> bytes:
    descriptor = opener(root, path.split("/"), flags, follow=follow)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def refusal(opener: Opener, root: int, path: str, *, follow: bool = True) -> int | None:
    with pytest.raises(OSError, match=r"\[Errno") as raised:
        os.close(opener(root, path.split("/"), READ, follow=follow))
    return raised.value.errno


@pytest.mark.parametrize(
    "path",
    [
        "real/f.txt",
        "inside",
        "inside-folder/f.txt",
        "round-about",
        "round-a-dot",
        "real/deep/up-inside",
        "./real/./f.txt",
        "doubled",
    ],
)
def test_what_stays_inside_is_opened(opener: Opener, root: int, path: str) -> None:
    assert content(opener, root, path) == b"inside"


@pytest.mark.parametrize(
    "path", ["up", "root", "root/etc/passwd", "absolute", "past-the-top", "real/../../secret.txt"]
)
def test_what_leads_outside_is_refused(opener: Opener, root: int, path: str) -> None:
    assert refusal(opener, root, path) == errno.EXDEV


@pytest.mark.parametrize(
    "path", ["inside", "inside-folder/f.txt", "up", "absolute", "real/deep/up-inside", "loop"]
)
def test_no_link_is_followed_where_none_may_be(opener: Opener, root: int, path: str) -> None:
    assert refusal(opener, root, path, follow=False) == errno.ELOOP


def test_a_link_to_itself_ends(opener: Opener, root: int) -> None:
    assert refusal(opener, root, "loop") == errno.ELOOP


def test_a_chain_of_links_is_followed_as_far_as_a_kernel_does(opener: Opener, place: Path, root: int) -> None:
    for number in range(45):
        (place / f"chain{number + 1}").symlink_to(f"chain{number}" if number else "real/f.txt")

    assert content(opener, root, "chain40") == b"inside"
    assert refusal(opener, root, "chain41") == errno.ELOOP


def test_what_is_not_there_or_no_folder_is_told_as_the_disk_tells_it(opener: Opener, root: int) -> None:
    assert refusal(opener, root, "absent") == errno.ENOENT
    assert refusal(opener, root, "real/f.txt/below") == errno.ENOTDIR


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="another disk is needed below the root")
def test_another_disk_is_not_entered(opener: Opener) -> None:
    root = os.open("/", FOLDER)
    try:
        assert refusal(opener, root, "proc/version") == errno.EXDEV
        assert refusal(opener, root, "proc") == errno.EXDEV
    finally:
        os.close(root)


def test_no_parts_are_the_root_itself(opener: Opener, place: Path, root: int) -> None:
    descriptor = opener(root, (), FOLDER, follow=False)
    try:
        assert os.fstat(descriptor).st_ino == place.stat().st_ino
    finally:
        os.close(descriptor)


def test_a_nul_opens_nothing(opener: Opener, root: int) -> None:
    with pytest.raises((OSError, ValueError)):
        opener(root, ["real", "f.txt\x00x"], READ, follow=True)


def test_no_descriptor_is_left_open_or_inherited(opener: Opener, root: int) -> None:
    before = {path.name for path in Path("/dev/fd").iterdir()}

    for path in ("real/deep/g.txt", "up", "loop", "absent", "round-about"):
        try:
            descriptor = opener(root, path.split("/"), READ, follow=True)
        except OSError:
            continue
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)

    assert {path.name for path in Path("/dev/fd").iterdir()} == before


@pytest.fixture(params=OPENERS, ids=lambda opener: opener.__name__)
def held(request: pytest.FixtureRequest, place: Path) -> Iterator[PosixRoot]:
    opened = PosixRoot(place, opener=request.param)
    yield opened
    opened.close()


def test_a_fifo_is_opened_without_waiting_for_its_writer(held: PosixRoot, place: Path) -> None:
    os.mkfifo(place / "fifo")

    descriptor = held.open_file(LogicalPath(("fifo",)))

    assert stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    os.close(descriptor)


def test_a_workspace_that_is_a_link_is_not_held(place: Path, tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(place)

    with pytest.raises(OSError, match=r"\[Errno"):
        PosixRoot(tmp_path / "other")


def test_a_write_goes_through_no_link_and_replaces_one(held: PosixRoot, place: Path, tmp_path: Path) -> None:
    for folder in ("root", "inside-folder"):
        with pytest.raises(OSError, match=r"\[Errno"):
            held.replace(LogicalPath((folder, "x.txt")), b"x", mode=None)
    held.replace(LogicalPath(("up",)), b"mine", mode=0o4755)

    assert (tmp_path / "secret.txt").read_text() == "secret"
    assert (place / "up").read_text() == "mine"
    assert stat.S_IMODE((place / "up").lstat().st_mode) == 0o755
    assert not (place / "real" / "x.txt").exists()


def test_reading_and_looking_go_through_links_that_stay_inside(held: PosixRoot) -> None:
    descriptor = held.open_file(LogicalPath(("inside-folder", "f.txt")))
    assert os.read(descriptor, 100) == b"inside"
    os.close(descriptor)
    assert held.lstat(LogicalPath(("inside-folder", "f.txt"))).st_size == len("inside")
    assert held.link_target(LogicalPath(("inside-folder", "deep", "up-inside"))) == "../f.txt"


def test_nothing_is_made_or_removed_through_a_link(held: PosixRoot, place: Path) -> None:
    (place / "real" / "empty").mkdir()
    through = LogicalPath(("inside-folder",))
    attempts = {
        held.make_folders: ("new",),
        held.remove: ("f.txt",),
        held.remove_folder: ("empty",),
    }

    for attempt, parts in attempts.items():
        with pytest.raises(OSError, match=r"\[Errno"):
            attempt(LogicalPath((*through.parts, *parts)))
    with pytest.raises(OSError, match=r"\[Errno"):
        held.make_folders(through)

    assert sorted(path.name for path in (place / "real").iterdir()) == ["deep", "empty", "f.txt"]


def test_a_write_that_fails_leaves_nothing_behind(held: PosixRoot, place: Path) -> None:
    (place / "folder").mkdir()
    before = sorted(path.name for path in place.iterdir())

    with pytest.raises(OSError, match=r"\[Errno"):
        held.replace(LogicalPath(("folder",)), b"x", mode=None)

    assert sorted(path.name for path in place.iterdir()) == before


def test_a_listing_follows_no_link_and_tells_links_as_links(held: PosixRoot) -> None:
    entries = dict(held.scan(LogicalPath()))

    assert stat.S_ISLNK(entries["root"].st_mode)
    assert stat.S_ISLNK(held.lstat(LogicalPath(("up",))).st_mode)
    assert held.link_target(LogicalPath(("up",))) == "../secret.txt"
    for folder in ("root", "inside-folder"):
        with pytest.raises(OSError, match=r"\[Errno"):
            held.scan(LogicalPath((folder,)))


def test_folders_are_made_and_things_removed_through_no_link(held: PosixRoot, place: Path) -> None:
    assert held.make_folders(LogicalPath(("a", "b", "c"))) == 3
    assert held.make_folders(LogicalPath(("a", "b", "d"))) == 1
    for act in (held.make_folders, held.remove, held.remove_folder):
        with pytest.raises(OSError, match=r"\[Errno"):
            act(
                LogicalPath(("inside-folder", "deep", "g.txt"))
                if act is held.remove
                else LogicalPath(("inside-folder", "deep"))
            )
    with pytest.raises(OSError, match=r"\[Errno"):
        held.make_folders(LogicalPath(("real", "f.txt")))
    held.remove(LogicalPath(("inside",)))
    held.remove_folder(LogicalPath(("a", "b", "c")))

    assert (place / "real" / "f.txt").read_text() == "inside"
    assert (place / "real" / "deep" / "g.txt").exists()
    assert not (place / "inside").is_symlink()
    assert not (place / "a" / "b" / "c").exists()


def test_closing_twice_closes_once(place: Path) -> None:
    root = PosixRoot(place)
    root.close()
    root.close()

    with pytest.raises(OSError, match=r"\[Errno"):
        root.scan(LogicalPath())


@pytest.mark.skipif(not HAS_OPENAT2, reason="the kernel has no openat2")
def test_the_kernels_way_is_taken_where_there_is_one() -> None:
    assert best_opener() is open_by_kernel


class Interrupted:
    """A C library whose call is interrupted so many times, and then answers."""

    def __init__(self, times: int, code: int = errno.EAGAIN) -> None:
        self.left = times
        self.code = code

    def syscall(self, *_: object) -> int:
        self.left -= 1
        if self.left < 0:
            return 0
        ctypes.set_errno(self.code)
        return -1


@pytest.mark.skipif(not HAS_OPENAT2, reason="the kernel has no openat2")
def test_an_open_that_a_rename_disturbed_is_tried_again_and_any_other_failure_is_told_at_once(
    root: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in (errno.EAGAIN, errno.EINTR):
        again = Interrupted(100, code)
        monkeypatch.setattr(beneath, "_libc", lambda again=again: again)
        assert open_by_kernel(root, ["x"], READ, follow=True) == 0
    broken = Interrupted(100, errno.EACCES)
    monkeypatch.setattr(beneath, "_libc", lambda: broken)
    with pytest.raises(PermissionError):
        open_by_kernel(root, ["x"], READ, follow=True)
    assert broken.left == 99


def test_the_top_of_the_workspace_can_be_looked_at(held: PosixRoot, place: Path) -> None:
    assert held.lstat(LogicalPath()).st_ino == place.stat().st_ino


def test_a_temporary_name_that_is_taken_is_not_written_through(
    held: PosixRoot, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root_posix.secrets, "token_hex", str)
    (place / f"{root_posix.TEMPORARY_PREFIX}8").symlink_to(tmp_path / "secret.txt")

    with pytest.raises(FileExistsError):
        held.replace(LogicalPath(("new.txt",)), b"x", mode=None)

    assert (tmp_path / "secret.txt").read_text() == "secret"
