"""The parts of the Windows way that need no Windows."""

import pytest

from chargehand.tools.root_windows import lies_beneath

ROOT = "\\\\?\\C:\\Data\\ws"


@pytest.mark.parametrize(
    "place",
    [ROOT, ROOT + "\\a.txt", "\\\\?\\c:\\data\\WS\\sub\\a.txt", ROOT + "\\"],
)
def test_a_final_path_of_the_root_or_below_it_lies_beneath(place: str) -> None:
    assert lies_beneath(place, ROOT)


@pytest.mark.parametrize(
    "place",
    [
        "\\\\?\\C:\\Data",
        "\\\\?\\C:\\Data\\ws-evil\\a.txt",
        "\\\\?\\C:\\Data\\other",
        "\\\\?\\D:\\Data\\ws\\a.txt",
        "\\\\?\\UNC\\server\\share\\Data\\ws\\a.txt",
        "C:\\Data\\ws\\a.txt",
        "",
    ],
)
def test_any_other_final_path_does_not(place: str) -> None:
    assert not lies_beneath(place, ROOT)
