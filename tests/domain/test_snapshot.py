"""Manifests: they come back as they were, hostile ones are refused, and what several workers made becomes one."""

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargehand.domain.snapshot import FileEntry, Manifest, Parts, changes, merged
from chargehand.errors import ContentDamaged

A, B, C = (FileEntry(character * 64, 1, False) for character in "abc")
LONE_BYTE = "\udcff"
"""How Python gives a file name's byte that is no UTF-8."""


def files(**found: FileEntry) -> dict[Parts, FileEntry]:
    """`src__app` stands for src/app."""
    return {tuple(name.split("__")): entry for name, entry in found.items()}


def stored(**changed: Any) -> bytes:
    data = {"format": 1, "base": None, "files": [["a" * 64, 1, False, "f"]], "folders": [], **changed}
    return zlib.compress(json.dumps(data).encode())


names = st.text(st.characters(codec="utf-8", exclude_characters="/\x00"), min_size=1, max_size=8).filter(
    lambda name: name not in {".", ".."}
)
entries = st.builds(
    FileEntry, st.sampled_from("abcd").map(lambda one: one * 64), st.integers(0, 9), st.booleans()
)
trees = st.recursive(entries | st.just("folder"), lambda below: st.dictionaries(names, below, max_size=4))


def manifest_of(tree: Any) -> Manifest:
    found: dict[Parts, FileEntry] = {}
    folders: set[Parts] = set()

    def put(node: Any, parts: Parts) -> None:
        if isinstance(node, FileEntry):
            found[parts or ("f",)] = node
        elif isinstance(node, dict) and node:
            for name, below in node.items():  # pyright: ignore[reportUnknownVariableType] - a tree of any depth
                put(below, (*parts, str(name)))  # pyright: ignore[reportUnknownArgumentType] - as above
        elif parts:
            folders.add(parts)

    put(tree, ())
    return Manifest(found, frozenset(folders))


@given(trees)
def test_a_manifest_comes_back_as_it_was(tree: Any) -> None:
    manifest = manifest_of(tree)

    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


def test_a_name_that_is_no_text_comes_back_as_it_was() -> None:
    manifest = Manifest({(LONE_BYTE, "ü"): A}, base="b" * 64)

    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    assert manifest.refers_to() == {A.sha256, "b" * 64}


@pytest.mark.parametrize(
    "hostile",
    [
        stored(files=[["a" * 64, 1, False, "..", "passwd"]]),
        stored(files=[["a" * 64, 1, False, "/etc", "passwd"]]),
        stored(files=[["a" * 64, 1, False, "etc/passwd"]]),
        stored(files=[["a" * 64, 1, False, "a\x00b"]]),
        stored(files=[["a" * 64, 1, False, "."]]),
        stored(files=[["a" * 64, 1, False, ""]]),
        stored(files=[["a" * 64, 1, False]]),
        stored(files=[["a" * 64, 1, False, "x" * 256]]),
        stored(files=[["a" * 64, 1, False, *["x" * 250] * 17]]),
        stored(files=[["a" * 64, 1, False, *["x"] * 65]]),
        stored(files=[["a" * 64, 1, False, 7]]),
        stored(files=[["a" * 64, -1, False, "f"]]),
        stored(files=[["a" * 64, 1, 2, "f"]]),
        stored(files=[["a" * 64, True, False, "f"]]),
        stored(files=[["../../x", 1, False, "f"]]),
        stored(files=[["a" * 64, 1, False, "f"], ["b" * 64, 1, False, "f"]]),
        stored(files=[["a" * 64, 1, False, "f"], ["b" * 64, 1, False, "f", "below"]]),
        stored(files=[5]),
        stored(files={"f": 1}),
        stored(folders=[["f"]]),
        stored(folders=[["f", "below"]]),
        stored(folders=[[".."]]),
        stored(folders=[[]]),
        stored(base="no hash"),
        stored(format=2),
        stored()[:-6],
        zlib.compress(b"[]"),
        zlib.compress(b"[" * 100_000),
        zlib.compress(b" " * (65 * 1024 * 1024)),
        b"not compressed",
        b"",
    ],
)
def test_a_manifest_that_no_workspace_can_have_is_refused(hostile: bytes) -> None:
    with pytest.raises(ContentDamaged, match="the manifest of a workspace cannot be used"):
        Manifest.from_bytes(hostile)


def test_what_i_changed_is_mine_and_the_rest_is_theirs() -> None:
    base = Manifest(files(kept=A, edited=A, removed=A, both=A, theirs_removed=A))
    mine = Manifest(files(kept=A, edited=B, both=B, made=B, theirs_removed=A))
    theirs = Manifest(files(kept=A, edited=A, removed=A, both=C, theirs_made=C), base="b" * 64)

    assert merged(base, mine, theirs) == Manifest(
        files(kept=A, edited=B, both=B, made=B, theirs_made=C), base="b" * 64
    )


def test_where_a_file_meets_a_folder_of_the_same_name_mine_stands() -> None:
    base = Manifest()
    my_file, my_folder = Manifest(files(x=A)), Manifest(files(x__y=A))

    assert merged(base, my_file, my_folder) == my_file
    assert merged(base, my_folder, my_file) == my_folder
    assert merged(base, Manifest(folders=frozenset({("x",)})), my_file) == Manifest(
        folders=frozenset({("x",)})
    )


def test_empty_folders_are_kept_until_somebody_fills_or_removes_them() -> None:
    base = Manifest(folders=frozenset({("a",), ("b",)}))
    mine = Manifest(files(a__f=A), folders=frozenset({("b",)}))
    theirs = Manifest(folders=frozenset({("a",), ("c", "d")}))

    assert merged(base, mine, theirs) == Manifest(files(a__f=A), folders=frozenset({("c", "d")}))


@given(trees, trees, trees)
def test_whatever_comes_together_is_a_workspace_and_has_all_that_i_made(
    base: Any, mine: Any, theirs: Any
) -> None:
    before, now, others = manifest_of(base), manifest_of(mine), manifest_of(theirs)

    together = merged(before, now, others)

    assert Manifest.from_bytes(together.to_bytes()) == together
    assert all(together.files.get(parts) == entry for parts, entry in changes(before, now).items())
    assert merged(before, now, before) == now
    assert merged(before, before, others).files == others.files


def test_quotas_count_folders_on_the_way_once() -> None:
    manifest = Manifest(files(a__b__x=A, a__b__y=B), folders=frozenset({("a", "empty")}))

    assert (manifest.entries, manifest.size_bytes) == (5, 2)
