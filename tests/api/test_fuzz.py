"""A small part of `python3 dev.py fuzz`: nothing that is sent leads to an answer that is not declared."""

import httpx2

from chargehand.domain.access import DEFAULT_TENANT
from chargehand.serve.openapi import openapi_of
from chargehand.service.key_format import id_of
from review.fuzz.answers import NEEDED, Answer, faults, refused_unread
from review.fuzz.inside import fuzz_inside
from review.fuzz.operations import operations_of
from review.fuzz.requests import Requests
from review.fuzz.schemas import Fitting
from review.fuzz.sockets import fuzz_sockets
from tests.api.service import Service

CASES = 1_500
CONNECTIONS = 96


async def test_fuzzed_paths_queries_headers_and_bodies_get_declared_answers(service: Service) -> None:
    found = await fuzz_inside(service.http, service.key, cases=CASES, seed=1)

    # How long the loop is kept is for the whole run to say, on a machine that does nothing else.
    assert {what: example for what, example in found.failures.items() if "kept the loop" not in what} == {}
    assert found.cases == CASES
    assert {200, 202, 401, 404, 422} <= found.statuses.keys()
    assert refused_unread(found.statuses) == []
    assert len(found.reached) > 20


async def test_bytes_that_are_no_http_are_answered_or_cut_off(
    service: Service, stranger: httpx2.AsyncClient
) -> None:
    document = (await stranger.get("/openapi.json")).json()

    async with service.listening() as (url, _):
        heard = await fuzz_sockets(
            url, int(url.rpartition(":")[2]), service.key, document, cases=CONNECTIONS, seed=1
        )

    assert heard.failures == {}
    assert heard.cases == CONNECTIONS
    assert "400" in heard.statuses


async def test_the_fuzzer_sees_what_is_wrong_with_an_answer(stranger: httpx2.AsyncClient) -> None:
    operations = operations_of((await stranger.get("/openapi.json")).json())
    [one] = [each for each in operations if str(each) == "GET /tasks/{task_id}"]
    names: tuple[bytes, ...] = NEEDED
    headers: dict[bytes, bytes] = dict.fromkeys(names, b"x")
    as_json: dict[bytes, bytes] = {**headers, b"content-type": b"application/json"}
    as_problem = {**headers, b"content-type": b"application/problem+json"}
    problem = b'{"status": 404, "code": "x", "detail": "y", "request_id": "z"}'

    assert faults("GET", one, Answer(200, as_json, b"{}")) == []
    assert faults("GET", one, Answer(404, as_problem, problem)) == []
    assert faults("GET", one, Answer(500, as_problem, problem)) != []
    assert faults("GET", one, Answer(418, as_problem, problem)) == ["418 is not declared"]
    assert faults("GET", one, Answer(200, headers, b"")) == ["200 as '' is not declared"]
    assert faults("GET", one, Answer(200, {b"content-type": b"application/json"}, b"{}")) != []
    assert faults("GET", one, Answer(404, as_problem, b"<html>")) == ["404 holds no JSON"]
    assert faults("GET", None, Answer(404, as_json, b"{}")) == ["404 is told as 'application/json'"]


async def test_no_request_is_made_for_what_all_of_them_stand_on(service: Service) -> None:
    document = openapi_of(service.http)
    requests = Requests(operations_of(document), Fitting(document), service.key, "127.0.0.1", seed=1)
    key_id = id_of(service.key)
    assert key_id is not None

    for value in (DEFAULT_TENANT, key_id, "other"):
        requests.known.learn("tenant_id", value)
        requests.known.learn("key_id", value)

    assert requests.known.by_name == {"tenant_id": ["other"], "key_id": ["other"]}


def test_a_run_whose_requests_were_refused_unread_falls_short() -> None:
    assert refused_unread({200: 95, 429: 5}) == []
    assert refused_unread({200: 94, 429: 6}) != []
    assert refused_unread({"200": 1, "401": 1, "closed": 100}) != []
