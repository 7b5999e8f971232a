"""Ids in paths: what can be none is told as not found, by the error of its kind, before anything is asked."""

import pytest
from starlette.requests import Request

from chargehand.serve import path_ids
from chargehand.serve.path_ids import PathId

UUID = "0190f7a2-91b4-7c3d-8a55-0242ac120002"
READERS = [one for one in vars(path_ids).values() if isinstance(one, PathId)]
GOOD = {
    "agent_id": "backend-developer",
    "version": "0" * 64,
    "key_id": "0aZ90aZ9",
    "tenant_id": "shop-1",
    "server": "tracker",
    "tool": "create_issue",
}
NONE = ["", "a\x00b", "x" * 200, "a b", "ä", "%00", "../a", "0\n", "'; --"]


def request(name: str, text: str) -> Request:
    return Request({"type": "http", "path_params": {name: text}, "headers": []})


def test_every_id_of_a_path_has_one_reader() -> None:
    names = [one.name for one in READERS]
    assert len(set(names)) == len(names) == 11


@pytest.mark.parametrize("reader", READERS, ids=lambda one: one.name)
def test_an_id_is_read_as_it_stands(reader: PathId) -> None:
    good = GOOD.get(reader.name, UUID)
    assert reader(request(reader.name, good)) == good


@pytest.mark.parametrize("text", NONE)
@pytest.mark.parametrize("reader", READERS, ids=lambda one: one.name)
def test_what_can_be_no_id_is_not_found_and_not_shown(reader: PathId, text: str) -> None:
    good = GOOD.get(reader.name, UUID)
    for bad in {text, good + "\n", "\x00" + good}:
        with pytest.raises(reader.error) as refused:
            reader(request(reader.name, bad))
        assert refused.value.status == 404
        assert not bad or bad not in refused.value.message
