"""Tokens of an OIDC issuer in place of keys: what the good ones open, and that no forged one opens anything."""

import base64
import hashlib
import hmac
import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chargehand.settings import Settings
from tests.api.service import MANY_TRIES, Service, open_service
from tests.given import TestClock
from tests.issuer import AUDIENCE, LocalIssuer, ec_key, jwk_of, local_issuer, rsa_key, unsigned

Forgeries = dict[str, str]


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture(params=["ES256"])
async def issuer(request: pytest.FixtureRequest) -> AsyncGenerator[LocalIssuer]:
    async with local_issuer(request.param) as made:
        yield made


@pytest.fixture
async def service(tmp_path: Path, clock: TestClock, issuer: LocalIssuer) -> AsyncGenerator[Service]:
    settings = Settings(
        data_dir=tmp_path / "data",
        issuers_file=issuer.file(tmp_path),
        failed_authentications_per_second=MANY_TRIES,
    )
    async with open_service(tmp_path / "data", settings=settings, clock=clock) as opened:
        yield opened


async def asked_with(service: Service, token: str, path: str = "/tasks") -> httpx2.Response:
    async with service.client(token) as client:
        return await client.get(path)


async def test_a_token_of_a_known_issuer_opens_what_its_scopes_stand_for(
    service: Service, issuer: LocalIssuer, clock: TestClock
) -> None:
    token = issuer.token(issuer.claims(clock.now()))

    who = await asked_with(service, token, "/whoami")
    listed = await asked_with(service, token)
    async with service.client(token) as client:
        submitted = await client.post("/agents/echo/tasks", json={"task_data": {}})

    assert who.json() == {
        **{"id": "corp:alice", "tenant": "default", "scopes": ["tasks:read"]},
        **{"roles": [], "agents": None, "expires_at": "2026-07-01T12:10:00Z"},
    }
    assert (listed.status_code, submitted.status_code) == (200, 403)


async def test_no_key_that_is_made_with_a_token_outlives_it(
    tmp_path: Path, issuer: LocalIssuer, clock: TestClock
) -> None:
    path = issuer.file(tmp_path, scopes={"claim": "scope", "of": {"read": ["keys:write", "tasks:read"]}})
    settings = Settings(data_dir=tmp_path, issuers_file=path)

    async with open_service(tmp_path, settings=settings, clock=clock) as service:
        async with service.client(issuer.token(issuer.claims(clock.now()))) as client:
            by_token = await client.post("/keys", json={"name": "one", "scopes": ["tasks:read"]})
            begun = await client.post("/session", headers={"Origin": "http://127.0.0.1:8700"})
        of_session = {
            "Cookie": begun.headers["set-cookie"].partition(";")[0],
            "Origin": "http://127.0.0.1:8700",
            "X-CSRF-Token": begun.json()["csrf_token"],
        }
        async with service.client(None) as client:
            by_session = await client.post(
                "/keys", json={"name": "two", "scopes": ["tasks:read"]}, headers=of_session
            )

    assert [answer.json()["key"]["expires_at"] for answer in (by_token, by_session)] == [
        "2026-07-01T12:10:00Z"
    ] * 2


async def test_keys_of_the_service_are_taken_beside_tokens(service: Service) -> None:
    assert (await asked_with(service, service.key)).status_code == 200


async def test_a_token_where_no_issuer_is_configured_is_refused(
    tmp_path: Path, issuer: LocalIssuer, clock: TestClock
) -> None:
    async with open_service(tmp_path, clock=clock) as service:
        answer = await asked_with(service, issuer.token(issuer.claims(clock.now())))

    assert answer.status_code == 401
    assert issuer.asked == []


def test_a_service_without_issuers_loads_nothing_that_reads_tokens() -> None:
    look = "print(sorted({'jwt', 'cryptography'} & set(sys.modules)))"
    code = f"import sys, chargehand.app.issuers, chargehand.app.service\n{look}"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)

    assert done.stdout.strip() == "[]"


async def test_public_paths_answer_whatever_token_is_sent_and_wherever_its_issuer_is(
    service: Service, issuer: LocalIssuer, clock: TestClock
) -> None:
    issuer.is_down = True

    answers = [
        await asked_with(service, issuer.token(issuer.claims(clock.now())), path)
        for path in ("/health", "/tasks")
    ]

    assert [answer.status_code for answer in answers] == [200, 503]
    assert answers[1].headers["retry-after"] == "30"


async def test_a_session_of_a_token_ends_with_it(
    service: Service, issuer: LocalIssuer, clock: TestClock
) -> None:
    async with service.client(issuer.token(issuer.claims(clock.now()))) as client:
        begun = await client.post("/session")
    cookie = {"Cookie": begun.headers["set-cookie"].partition(";")[0]}

    async with service.client(None) as client:
        who = (await client.get("/whoami", headers=cookie)).json()
        clock.advance(600)
        after = await client.get("/whoami", headers=cookie)

    assert (begun.status_code, who["id"], who["scopes"]) == (201, "corp:alice", ["tasks:read"])
    assert after.status_code == 401


async def test_the_answer_to_a_bad_token_says_that_it_is_bad(
    service: Service, stranger: httpx2.AsyncClient, issuer: LocalIssuer, clock: TestClock
) -> None:
    expired = issuer.token(issuer.claims(clock.now() - timedelta(hours=1)))

    with_one, without = await asked_with(service, expired), await stranger.get("/tasks")

    assert with_one.headers["www-authenticate"] == 'Bearer realm="chargehand", error="invalid_token"'
    assert without.headers["www-authenticate"] == 'Bearer realm="chargehand"'
    assert "expired" in with_one.json()["detail"]


def forged_algorithms(issuer: LocalIssuer, claims: dict[str, Any]) -> Forgeries:
    """Signed by nobody, with what everybody knows, or otherwise than its issuer signs."""
    header = {"kid": "one", "typ": "at+jwt"}
    public = issuer.keys["one"].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    published = json.dumps(jwk_of(issuer.keys["one"], "one")).encode()
    made = {
        f"alg {name!r}": unsigned({**header, "alg": name}, claims)
        for name in (
            "none",
            "None",
            "NONE",
            "nOnE",
            "",
            None,
            0,
            ["none"],
            "none ",
            "HS256",
            issuer.algorithm,
        )
    }
    for what, secret in (("pem", pem), ("der", der), ("jwk", published), ("empty", b"")):
        for algorithm in ("HS256", "HS512"):
            made[f"{algorithm} with the public key as {what}"] = hmac_token(
                {**header, "alg": algorithm}, claims, secret
            )
            made[f"{issuer.algorithm} said, {algorithm} with {what}"] = hmac_token(
                {**header, "alg": issuer.algorithm}, claims, secret
            )
    for algorithm, key in (
        ("PS256", rsa_key()),
        ("RS512", rsa_key()),
        ("ES256", ec_key(7)),
        ("RS256", rsa_key()),
    ):
        if algorithm != issuer.algorithm:
            made[f"{algorithm} instead of {issuer.algorithm}"] = jwt.encode(
                claims, key, algorithm=algorithm, headers=header
            )
    return made


def hmac_token(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    signed = unsigned(header, claims).rpartition(".")[0]
    digest = hmac.digest(
        secret, signed.encode(), hashlib.sha512 if header["alg"] == "HS512" else hashlib.sha256
    )
    return f"{signed}.{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def forged_claims(issuer: LocalIssuer, clock: TestClock) -> Forgeries:
    """Signed by the issuer, and still not for this service at this time."""
    now, stamp = clock.now(), int(clock.now().timestamp())
    changes: dict[str, dict[str, Any]] = {
        **{f"no {name}": {name: None} for name in ("exp", "iat", "sub", "iss", "aud")},
        "expired": {"iat": stamp - 600, "exp": stamp - 31},
        "expired this very second": {"iat": stamp - 600, "exp": stamp - 30},
        "expired long ago": {"exp": 0},
        "before its time": {"nbf": stamp + 31},
        "issued in the future": {"iat": stamp + 31},
        "issued in the future, and good before": {"iat": stamp + 31, "nbf": stamp},
        "for too long": {"exp": stamp + 901},
        "ended before it began": {"exp": stamp - 10, "iat": stamp - 5},
        "ended as it began": {"exp": stamp, "iat": stamp},
        "end beyond all time": {"exp": 1e300},
        "end at infinity": {"exp": float("inf")},
        "no number": {"exp": float("nan")},
        "end as text": {"exp": str(stamp + 300)},
        "end as boolean": {"exp": True},
        "beginning as text": {"iat": "now"},
        "nbf as list": {"nbf": [stamp]},
        "nbf as boolean": {"nbf": True},
        "another audience": {"aud": "another"},
        "no audience": {"aud": []},
        "audience as object": {"aud": {"chargehand": True}},
        "audience in part": {"aud": AUDIENCE[:-1]},
        "another issuer": {"iss": "https://evil.example"},
        "issuer with a slash": {"iss": f"{issuer.url}/"},
        "issuer in a list": {"iss": [issuer.url]},
        "issuer as object": {"iss": {"url": issuer.url}},
        "sub as number": {"sub": 7},
        "sub as list": {"sub": ["alice"]},
        "empty sub": {"sub": ""},
        "long sub": {"sub": "a" * 256},
        "jti as number": {"jti": 7},
    }
    key = issuer.keys["one"]
    header = {"kid": "one", "typ": "at+jwt"}
    signer = jwt.PyJWS()
    return {
        what: signer.encode(json.dumps(issuer.claims(now, **changed)).encode(), key, issuer.algorithm, header)
        for what, changed in changes.items()
    }


def forged_headers(issuer: LocalIssuer, claims: dict[str, Any]) -> Forgeries:
    """Ones that bring their own key, name another, or want to be read otherwise."""
    own = ec_key(9) if issuer.algorithm == "ES256" else rsa_key(3072)
    brought = jwk_of(own, "one")
    with_own: dict[str, dict[str, Any]] = {
        "its own jwk": {"jwk": brought},
        "its own jku": {"jku": f"{issuer.url}/own"},
        "its own x5u": {"x5u": f"{issuer.url}/own"},
        "its own x5c": {"x5c": ["MIIB"]},
        "no more than another key": {},
    }
    made = {what: issuer.token(claims, key=own, **brings) for what, brings in with_own.items()}
    good: dict[str, dict[str, Any]] = {
        "jku beside a good signature": {"jku": f"{issuer.url}/own"},
        "jwk beside a good signature": {"jwk": brought},
        "unknown crit": {"crit": ["policy"], "policy": "x"},
        "empty crit": {"crit": []},
        "crit as text": {"crit": "exp"},
        "another typ": {"typ": "logout+jwt"},
        "an id token": {"typ": "JWT"},
        "no typ": {"typ": None},
        "typ absent, in words": {"typ": "absent"},
        "typ as list": {"typ": ["at+jwt"]},
        "zip": {"crit": ["zip"], "zip": "DEF"},
    }
    made |= {what: issuer.token(claims, **header) for what, header in good.items()}
    # The key is the issuer's own: only its name is not.
    for key_id in (
        "../../dev/null",
        "/dev/null",
        "two",
        "",
        "one\0",
        "ONE",
        "' OR 1=1 --",
        f"{issuer.url}/keys",
    ):
        made[f"kid {key_id!r}"] = issuer.token(claims, key=issuer.keys["one"], key_id=key_id)
    header = {"alg": issuer.algorithm, "typ": "at+jwt"}
    for no_text in (7, ["one"], {"one": 1}):
        made[f"kid {no_text!r}"] = unsigned({**header, "kid": no_text}, claims, b"x" * 64)
    return made


def broken(issuer: LocalIssuer, claims: dict[str, Any]) -> Forgeries:
    """What is no token, or was one."""
    good = issuer.token(claims)
    head, body, signature = good.split(".")
    other = issuer.token({**claims, "sub": "bob"})
    deep = b"[" * 5_000
    header = {"alg": issuer.algorithm, "typ": "at+jwt", "kid": "one"}
    return {
        "other claims, same signature": ".".join((head, other.split(".")[1], signature)),
        "signature of another": ".".join((head, body, other.split(".")[2])),
        "signature cut": good[:-4],
        "signature gone": f"{head}.{body}.",
        "signature longer": good + "AAAA",
        "four parts": f"{good}.{signature}",
        "two parts": f"{head}.{body}",
        "five parts, as encrypted": f"{good}.a.b",
        "no parts": "..",
        "junk": "a.b.c",
        "two tokens": f"{good}, {good}",
        "two tokens in one": f"{good} {good}",
        "a line break": f"{good}\x00",
        "claims as list": unsigned(header, b"[]", b"x" * 64),
        "claims as text": unsigned(header, b'"x"', b"x" * 64),
        "claims very deep": unsigned(header, deep, b"x" * 64),
        "claims not UTF-8": unsigned(header, b"\xff\xfe", b"x" * 64),
        "a very long number": unsigned(header, b'{"iss": ' + b"9" * 5000 + b"}", b"x" * 64),
        "header as list": unsigned([], claims, b"x" * 64),  # pyright: ignore[reportArgumentType] - what is tried
        "b64 false": unsigned({**header, "b64": False, "crit": ["b64"]}, claims, b"x" * 64),
        "larger than is read": issuer.token({**claims, "more": "x" * 8_192}),
    }


@pytest.mark.parametrize("issuer", ["ES256", "RS256"], indirect=True)
async def test_no_forged_token_is_accepted(service: Service, issuer: LocalIssuer, clock: TestClock) -> None:
    claims = issuer.claims(clock.now())
    issuer.pages["/own"] = json.dumps({"keys": [jwk_of(ec_key(9), "one")]}).encode()
    forgeries = {
        **forged_algorithms(issuer, claims),
        **forged_claims(issuer, clock),
        **forged_headers(issuer, claims),
        **broken(issuer, claims),
    }

    answers = {what: await asked_with(service, token) for what, token in forgeries.items()}
    statuses = {what: answer.status_code for what, answer in answers.items()}
    good = await asked_with(service, issuer.token(claims))

    assert {what: status for what, status in statuses.items() if status != 401} == {}
    assert len(statuses) > 90
    assert all(
        "the one algorithm" in answers[what].json()["detail"] for what in answers if "instead of" in what
    )
    assert good.status_code == 200
    # What they named was not fetched, and the keys were fetched once in all that time.
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_a_token_is_good_to_the_very_second_and_by_the_clocks_leeway(
    service: Service, issuer: LocalIssuer, clock: TestClock
) -> None:
    now, stamp = clock.now(), int(clock.now().timestamp())
    changes: dict[str, dict[str, Any]] = {
        "about to end": {"iat": stamp - 600, "exp": stamp - 29},
        "issued by a clock that is ahead": {"iat": stamp + 30},
        "begins by a clock that is ahead": {"nbf": stamp + 30},
        "as long as any may": {"exp": stamp + 900},
    }

    answers = {
        what: (await asked_with(service, issuer.token(issuer.claims(now, **changed)))).status_code
        for what, changed in changes.items()
    }

    assert answers == dict.fromkeys(changes, 200)


async def test_two_headers_with_a_good_token_each_are_refused(
    service: Service, stranger: httpx2.AsyncClient, issuer: LocalIssuer, clock: TestClock
) -> None:
    good = issuer.token(issuer.claims(clock.now()))

    answer = await stranger.get("/tasks", headers=[("Authorization", f"Bearer {good}")] * 2)

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"org": "unknown"}, "tenant"),
        ({"org": None}, "tenant"),
        ({"org": ["shop", "press"]}, "tenant"),
        ({"org": {"name": "shop"}}, "tenant"),
        ({"org": "shop", "email_verified": False}, "email_verified"),
        ({"org": "shop", "email_verified": None}, "email_verified"),
        ({"org": "shop", "email_verified": "yes"}, "email_verified"),
    ],
)
async def test_a_token_that_the_operators_tables_do_not_know_is_refused(
    tmp_path: Path, issuer: LocalIssuer, clock: TestClock, claims: dict[str, Any], why: str
) -> None:
    tenants = {"claim": "org", "of": {"shop": "shop", "press": "press"}}
    path = issuer.file(tmp_path, tenant=None, tenants=tenants, required_claims={"email_verified": True})
    settings = Settings(data_dir=tmp_path, issuers_file=path)

    async with open_service(tmp_path, settings=settings, clock=clock) as service:
        verified = {"email_verified": True, **claims}
        answer = await asked_with(service, issuer.token(issuer.claims(clock.now(), **verified)))

    assert answer.status_code == 401
    assert why in answer.json()["detail"]


async def test_a_token_reaches_the_tasks_of_its_own_tenant_only(
    tmp_path: Path, issuer: LocalIssuer, clock: TestClock
) -> None:
    tenants = {"claim": ["realm", "orgs"], "of": {"shop": "shop", "house": "default"}}
    path = issuer.file(tmp_path, tenant=None, tenants=tenants)
    settings = Settings(data_dir=tmp_path, issuers_file=path)

    async with open_service(tmp_path, settings=settings, clock=clock) as service:
        async with service.client(service.key) as owner:
            task = (await owner.post("/agents/echo/tasks", json={"task_data": {}})).json()["id"]
            no_tenant = issuer.token(issuer.claims(clock.now(), realm={"orgs": ["shop"]}))
            before = await asked_with(service, no_tenant, f"/tasks/{task}")
            await owner.post("/tenants", json={"id": "shop"})
        statuses = {
            org: (
                await asked_with(
                    service,
                    issuer.token(issuer.claims(clock.now(), realm={"orgs": [org, "others"]})),
                    f"/tasks/{task}",
                )
            ).status_code
            for org in ("shop", "house")
        }
        async with service.client(service.key) as owner:
            await owner.patch("/tenants/shop", json={"is_suspended": True})
        suspended = await asked_with(service, no_tenant, f"/tasks/{task}")

    assert (before.status_code, suspended.status_code) == (401, 403)
    assert statuses == {"shop": 404, "house": 200}
