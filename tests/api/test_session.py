"""Sessions of browsers: what a page of this service may do with one, and that no page elsewhere may do anything."""

import json
from collections.abc import AsyncGenerator
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
import pytest

from chargehand.domain.access import Scope
from chargehand.errors import Forbidden
from chargehand.serve.openapi import openapi_of
from chargehand.serve.session_cookie import SessionCookie
from chargehand.settings import Settings
from tests.api.matrix import ENTRIES, request_of
from tests.api.service import OWNER, Service, open_service
from tests.browser import Browser

HERE = "https://agents.example"
ELSEWHERE = "https://evil.example"
SIBLING = "https://blog.agents.example"
LISTED = "https://board.example"
SECURE = "Path=/; HttpOnly; SameSite=Strict; Secure"
TASK = json.dumps({"task_data": {}})
TYPE = {"Content-Type": "application/json"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[Service]:
    settings = Settings(
        data_dir=tmp_path, behind_tls=True, trusted_hosts=("agents.example",), cors_origins=(LISTED,)
    )
    async with open_service(tmp_path, settings=settings) as opened:
        yield opened


@pytest.fixture
def browser(service: Service) -> Browser:
    return Browser(service, HERE, site="agents.example")


async def logged_in(browser: Browser, key: str | None = None) -> str:
    """Log in from a page of the service; the token that its changes need."""
    key = key or browser.service.key
    answer = await browser.fetch("POST", "/session", headers={"Authorization": f"Bearer {key}"})
    assert answer is not None
    assert answer.status_code == 201, answer.text
    return answer.json()["csrf_token"]


def status(answer: httpx2.Response | None) -> int | None:
    return None if answer is None else answer.status_code


async def submitted(browser: Browser, token: str | None, page: str | None = None) -> int | None:
    headers = TYPE | ({} if token is None else {"X-CSRF-Token": token})
    return status(await browser.fetch("POST", "/agents/echo/tasks", page=page, headers=headers, body=TASK))


async def test_a_page_of_the_service_reads_and_changes_with_the_cookie_and_the_token(
    browser: Browser,
) -> None:
    token = await logged_in(browser)

    listed = await browser.fetch("GET", "/tasks")
    made = await submitted(browser, token)
    again = await browser.fetch("GET", "/session")

    assert (status(listed), made) == (200, 202)
    assert again is not None
    assert again.json()["csrf_token"] == token
    assert again.json()["idle_seconds"] == 1800
    assert list(browser.cookies) == ["__Host-sid"]


async def test_the_cookie_is_kept_from_scripts_other_sites_and_plain_http(service: Service) -> None:
    async with service.client(service.key) as client:
        answer = await client.post("/session", headers={"Host": "agents.example"})

    name, _, rest = answer.headers["set-cookie"].partition("=")
    secret, _, attributes = rest.partition("; ")
    assert name == "__Host-sid"
    assert len(secret) == 43
    assert attributes == f"Max-Age=43200; {SECURE}"
    assert secret not in answer.text


async def test_a_session_may_do_what_its_key_may(service: Service, browser: Browser) -> None:
    key = await service.key_with(Scope.TASKS_READ)

    token = await logged_in(browser, key)

    assert status(await browser.fetch("GET", "/tasks")) == 200
    assert await submitted(browser, token) == 403


@pytest.mark.parametrize("page", [ELSEWHERE, SIBLING, LISTED, "null", "http://agents.example"])
async def test_no_page_elsewhere_does_anything_with_the_cookie_in_any_browser(
    browser: Browser, page: str
) -> None:
    token = await logged_in(browser)
    tried: dict[tuple[str, bool, bool], int | None] = {}
    for same_site, fetch_site in product((True, False), repeat=2):
        browser.keeps_same_site, browser.tells_fetch_site = same_site, fetch_site
        by = {
            "form": await browser.submit_form("/agents/echo/tasks", page=page, body=TASK),
            "logout": await browser.fetch("DELETE", "/session", page=page),
            "login": await browser.submit_form("/session", page=page),
        }
        tried |= {(what, same_site, fetch_site): status(answer) for what, answer in by.items()}
        tried["script", same_site, fetch_site] = await submitted(browser, None, page)
        # As if the page had learned it.
        tried["with the token", same_site, fetch_site] = await submitted(browser, token, page)
        read = await browser.fetch("GET", "/tasks", page=page)

        # Read, perhaps; told to the page that asked, never.
        assert read is not None
        assert "access-control-allow-credentials" not in read.headers
        assert read.status_code == 401 or not fetch_site

    assert {what: one for what, one in tried.items() if one not in (None, 401, 403)} == {}
    listed = await browser.fetch("GET", "/tasks")
    assert listed is not None
    assert listed.json()["items"] == []


async def test_somebody_elses_session_cannot_be_put_on_a_browser_by_a_page_elsewhere(
    browser: Browser,
) -> None:
    bearer = {"Authorization": f"Bearer {browser.service.key}"}

    answers = [
        status(await browser.fetch("POST", "/session", page=page, headers=bearer))
        for page in (ELSEWHERE, LISTED)
    ]

    assert answers == [None, 403]
    assert browser.cookies == {}


async def test_a_change_without_the_right_token_is_forbidden(browser: Browser) -> None:
    right = await logged_in(browser)
    wrong = [None, "", "x", right[:-1], right + "A", right.swapcase(), "A" * 10_000]

    assert [await submitted(browser, sent) for sent in wrong] == [403] * len(wrong)


async def test_the_token_of_another_session_is_not_the_right_one(service: Service, browser: Browser) -> None:
    other = await logged_in(Browser(service, HERE, site="agents.example"))
    await logged_in(browser)

    assert await submitted(browser, other) == 403


async def test_every_route_that_changes_something_asks_for_the_token(
    service: Service, browser: Browser
) -> None:
    await logged_in(browser)
    (cookie,) = browser.cookies.values()

    async with service.client(None) as client:
        client.headers |= {
            "Host": "agents.example",
            "Cookie": f"__Host-sid={cookie.value}",
            "Sec-Fetch-Site": "same-origin",
        }
        answers: dict[str, int] = {}
        for name in ENTRIES:
            method, path, body = request_of(name)
            if method != "GET":
                answers[name] = (await client.request(method, path, json=body)).status_code

    assert len(answers) > 10
    assert set(answers.values()) == {403}


async def test_the_cookie_opens_every_route_that_the_document_opens_to_it(
    service: Service, browser: Browser
) -> None:
    await logged_in(browser)
    paths: dict[str, dict[str, dict[str, Any]]] = openapi_of(service.http)["paths"]

    answers: dict[str, int | None] = {}
    for name in ENTRIES:
        method, path, _ = request_of(name)
        if method == "GET":
            assert {"session": []} in paths[name.split()[1].replace(":path", "")]["get"]["security"], name
            answers[name] = status(await browser.fetch(method, path))

    assert len(answers) > 30
    assert not {401, 403, None} & set(answers.values()), answers


async def test_where_a_change_comes_from_is_told_by_the_browser_and_exactly(
    service: Service, browser: Browser
) -> None:
    token = await logged_in(browser)
    (cookie,) = browser.cookies.values()
    own = {"Host": "agents.example", "Cookie": f"__Host-sid={cookie.value}", "X-CSRF-Token": token}
    told: list[tuple[dict[str, str], int]] = [
        ({"Sec-Fetch-Site": "same-origin"}, 202),
        ({"Origin": HERE}, 202),
        ({"Origin": "HTTPS://agents.example"}, 403),
        ({"Origin": "https://agents.example:443"}, 403),
        ({"Origin": "https://agents.example.evil.example"}, 403),
        ({"Origin": "http://agents.example"}, 403),
        ({"Origin": LISTED}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": HERE}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": HERE}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        ({"Sec-Fetch-Site": "same-origin, cross-site"}, 403),
        ({"Referer": f"{HERE}/"}, 403),
        ({}, 403),
    ]

    async with service.client(None) as client:
        found = [
            (
                await client.post("/agents/echo/tasks", json={"task_data": {}}, headers=own | headers)
            ).status_code
            for headers, _ in told
        ]

    assert found == [expected for _, expected in told]


async def test_a_logout_ends_the_session_and_clears_the_cookie_with_its_own_attributes(
    service: Service, browser: Browser
) -> None:
    token = await logged_in(browser)
    (cookie,) = browser.cookies.values()

    answer = await browser.fetch("DELETE", "/session", headers={"X-CSRF-Token": token})

    assert answer is not None
    assert answer.status_code == 204
    assert answer.headers["set-cookie"] == f"__Host-sid=; Max-Age=0; {SECURE}"
    assert browser.cookies == {}
    async with service.client(None) as client:
        kept = await client.get(
            "/tasks", headers={"Host": "agents.example", "Cookie": f"__Host-sid={cookie.value}"}
        )
    assert kept.status_code == 401


async def test_a_login_ends_the_session_that_the_browser_had(service: Service, browser: Browser) -> None:
    await logged_in(browser)
    (first,) = browser.cookies.values()

    await logged_in(browser)

    (second,) = browser.cookies.values()
    assert second.value != first.value
    async with service.client(None) as client:
        old = await client.get(
            "/tasks", headers={"Host": "agents.example", "Cookie": f"__Host-sid={first.value}"}
        )
    assert old.status_code == 401


async def test_a_session_ends_with_its_key(service: Service, browser: Browser) -> None:
    key, record = await service.services.keys.issue(OWNER, "short", frozenset({Scope.TASKS_READ}))
    await logged_in(browser, key)
    assert status(await browser.fetch("GET", "/tasks")) == 200

    await service.services.keys.revoke(OWNER, record.id)

    assert status(await browser.fetch("GET", "/tasks")) == 401


async def test_what_is_sent_as_a_key_decides_alone(service: Service, browser: Browser) -> None:
    await logged_in(browser)

    wrong = await browser.fetch("GET", "/tasks", headers={"Authorization": "Bearer nonsense"})
    empty = await browser.fetch("GET", "/tasks", headers={"Authorization": ""})

    assert (status(wrong), status(empty)) == (401, 401)


async def test_two_cookies_of_one_name_are_nobodys(service: Service, browser: Browser) -> None:
    await logged_in(browser)
    (cookie,) = browser.cookies.values()
    pair = f"__Host-sid={cookie.value}"

    async with service.client(None) as client:
        answers = [
            await client.get("/tasks", headers=[("Host", "agents.example"), *more])
            for more in (
                [("Cookie", f"{pair}; {pair}")],
                [("Cookie", pair), ("Cookie", f"a=b;{pair}")],
                [("Cookie", f"{pair}; other=1")],
            )
        ]

    assert [answer.status_code for answer in answers] == [401, 401, 200]


async def test_a_key_has_no_session_and_a_session_begins_no_other(service: Service, browser: Browser) -> None:
    async with service.client(service.key) as client:
        with_key = [await client.get("/session"), await client.delete("/session")]
    token = await logged_in(browser)

    from_session = await browser.fetch("POST", "/session", headers={"X-CSRF-Token": token})

    assert [answer.status_code for answer in with_key] == [404, 404]
    assert status(from_session) == 409


async def test_public_paths_answer_whatever_cookie_is_sent(service: Service) -> None:
    async with service.client(None) as client:
        answer = await client.get("/health", headers={"Cookie": "__Host-sid=nonsense; __Host-sid=more"})

    assert answer.status_code == 200


async def test_by_plain_http_a_session_is_for_this_machine_only(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, trusted_hosts=("agents.internal",))
    async with open_service(tmp_path, settings=settings) as service:
        here = Browser(service, "http://127.0.0.1:8700", site="127.0.0.1")
        there = Browser(service, "http://agents.internal", site="agents.internal")
        bearer = {"Authorization": f"Bearer {service.key}"}

        token = await logged_in(here)
        by_name = await there.fetch("POST", "/session", headers=bearer)
        made = await submitted(here, token)

    assert list(here.cookies) == ["chargehand_sid"]
    assert made == 202
    assert by_name is not None
    assert by_name.status_code == 409
    assert "CHARGEHAND_BEHIND_TLS" in by_name.json()["detail"]
    assert there.cookies == {}


async def test_who_brings_neither_key_nor_cookie_is_asked_for_a_key(stranger: httpx2.AsyncClient) -> None:
    answer = await stranger.post("/webhooks", json={})

    assert answer.status_code == 401


@pytest.mark.parametrize("header", [(b"sec-fetch-site", b"cross-site"), (b"origin", b"https://evil.example")])
def test_either_header_of_a_browser_says_that_it_comes_from_elsewhere(header: tuple[bytes, bytes]) -> None:
    cookie = SessionCookie(is_behind_tls=True)

    cookie.require_not_from_elsewhere({"headers": [(b"host", b"agents.example")]})
    with pytest.raises(Forbidden):
        cookie.require_not_from_elsewhere({"headers": [(b"host", b"agents.example"), header]})
