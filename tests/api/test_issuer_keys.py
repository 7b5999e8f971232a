"""The keys of an issuer: fetched seldom, rotated, kept while it is down; and how long a verified token is known."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chargehand.domain.access import Scope
from chargehand.domain.issuer import principal_id
from chargehand.errors import Unauthorized, Unavailable
from chargehand.network.jwks import COOLDOWN_SECONDS, FRESH_SECONDS, STALE_SECONDS
from chargehand.service.issuer_file import read_issuer_file
from chargehand.service.tokens import CACHE_SECONDS, Tokens
from tests.given import TestClock
from tests.issuer import LocalIssuer, ec_key, jwk_of, local_issuer, rsa_key

FETCH = ["/.well-known/openid-configuration", "/keys"]


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
async def issuer() -> AsyncGenerator[LocalIssuer]:
    async with local_issuer() as made:
        yield made


@asynccontextmanager
async def verifier(
    issuer: LocalIssuer, clock: TestClock, folder: Path, **changed: Any
) -> AsyncGenerator[Tokens]:
    tokens = Tokens(read_issuer_file(issuer.file(folder, **changed)), clock)
    try:
        yield tokens
    finally:
        await tokens.close()


@pytest.fixture
async def tokens(tmp_path: Path, issuer: LocalIssuer, clock: TestClock) -> AsyncGenerator[Tokens]:
    async with verifier(issuer, clock, tmp_path) as made:
        yield made


def fresh(issuer: LocalIssuer, clock: TestClock, key_id: str = "one", **changed: Any) -> str:
    return issuer.token(issuer.claims(clock.now(), **changed), key_id=key_id)


async def accepted(tokens: Tokens, token: str) -> bool:
    try:
        await tokens.verify(token)
    except (Unauthorized, Unavailable):
        return False
    return True


async def test_keys_are_fetched_once_for_many_tokens_at_the_same_moment(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    some = [fresh(issuer, clock, sub=f"user-{number}") for number in range(20)]

    found = await asyncio.gather(*(tokens.verify(token) for token in some))

    assert {one.principal.id for one in found} == {f"corp:user-{number}" for number in range(20)}
    assert issuer.asked == FETCH


async def test_a_new_key_of_the_issuer_is_found_without_waiting_for_the_old_ones_to_age(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    await tokens.verify(fresh(issuer, clock))
    clock.advance(COOLDOWN_SECONDS)
    issuer.keys = {"one": ec_key(1), "two": ec_key(2)}

    both = [await accepted(tokens, fresh(issuer, clock, key_id)) for key_id in ("two", "one")]

    assert both == [True, True]
    assert issuer.asked == FETCH * 2


async def test_a_key_that_the_issuer_took_back_is_forgotten_with_the_next_fetch(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    await tokens.verify(fresh(issuer, clock))
    issuer.keys = {"one": ec_key(1), "two": ec_key(2)}
    clock.advance(COOLDOWN_SECONDS)
    old, new = fresh(issuer, clock, "one"), fresh(issuer, clock, "two")
    del issuer.keys["one"]

    assert await accepted(tokens, new)
    assert not await accepted(tokens, old)


async def test_made_up_key_ids_make_nobody_fetch(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    await tokens.verify(fresh(issuer, clock))
    claims = issuer.claims(clock.now())
    made_up = [issuer.token(claims, key=ec_key(1), key_id=f"made-up-{number}") for number in range(50)]

    at_once = [await accepted(tokens, token) for token in made_up]
    clock.advance(COOLDOWN_SECONDS)
    later = await asyncio.gather(*(accepted(tokens, token) for token in made_up))

    assert not any([*at_once, *later])
    assert issuer.asked == FETCH * 2


async def test_while_the_issuer_is_down_its_keys_are_good_for_a_day_and_no_unknown_one_is_taken(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    await tokens.verify(fresh(issuer, clock))
    issuer.is_down = True
    issuer.keys["two"] = ec_key(2)
    clock.advance(STALE_SECONDS - 60)

    known, unknown = (
        await accepted(tokens, fresh(issuer, clock)),
        await accepted(tokens, fresh(issuer, clock, "two")),
    )
    clock.advance(120)
    after_a_day = await accepted(tokens, fresh(issuer, clock))

    assert (known, unknown, after_a_day) == (True, False, False)


async def test_without_any_keys_the_answer_is_to_come_again_later(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    issuer.is_down = True

    for _ in range(2):
        assert not await accepted(tokens, fresh(issuer, clock))
    with pytest.raises(Unavailable, match="'corp' cannot be fetched") as refused:
        await tokens.verify(fresh(issuer, clock))

    assert refused.value.retry_after_seconds == COOLDOWN_SECONDS
    assert len(issuer.asked) == 1
    issuer.is_down = False
    clock.advance(COOLDOWN_SECONDS)
    assert await accepted(tokens, fresh(issuer, clock))


async def test_old_keys_are_fetched_anew_beside_the_request_that_finds_them_old(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    await tokens.verify(fresh(issuer, clock))
    clock.advance(FRESH_SECONDS + 1)
    del issuer.keys["one"]
    issuer.keys["two"] = ec_key(2)
    old = issuer.token(issuer.claims(clock.now()), key=ec_key(1), key_id="one")

    assert await accepted(tokens, old)
    # The fetch that it began is waited for by whoever needs the new key.
    assert await accepted(tokens, fresh(issuer, clock, "two"))
    assert not await accepted(tokens, issuer.token(issuer.claims(clock.now(), sub="x"), key=ec_key(1)))


async def test_a_verified_token_is_known_for_a_while_and_never_past_its_end(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    token = fresh(issuer, clock, exp=int(clock.now().timestamp()) + 65)
    await tokens.verify(token)
    issuer.keys = {"two": ec_key(2)}
    clock.advance(COOLDOWN_SECONDS - 1)

    assert await accepted(tokens, token)
    clock.advance(1)
    # Its key is unknown once a token with a new one has been seen, and it is looked at anew.
    assert await accepted(tokens, fresh(issuer, clock, "two"))
    assert not await accepted(tokens, token)
    assert CACHE_SECONDS == 30


async def test_a_token_that_ends_while_it_is_known_is_refused_after_the_leeway(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    token = fresh(issuer, clock, exp=int(clock.now().timestamp()) + 10)
    await tokens.verify(token)

    clock.jump(39)
    within = await accepted(tokens, token)
    clock.jump(1)
    after = await accepted(tokens, token)

    assert (within, after) == (True, False)


def misfits() -> dict[str, object]:
    """Sets of keys in which a signature of ES256 finds none to be checked with; the right key is in some."""
    good = jwk_of(ec_key(1), "one")
    keys: dict[str, list[object]] = {
        "none": [],
        "no objects": [7, None, "x", []],
        "a shared secret": [{"kty": "oct", "kid": "one", "k": "c2VjcmV0", "alg": "ES256"}],
        "no point of the curve": [{"kty": "EC", "kid": "one", "crv": "P-256", "x": "AA", "y": "AA"}],
        "no point at all": [{"kty": "EC", "kid": "one", "crv": "P-256"}],
        "for encryption": [{**good, "use": "enc"}],
        "for another algorithm": [{**good, "alg": "ES384"}],
        "to sign with": [{**good, "key_ops": ["sign"]}],
        "of another curve": [{**good, "crv": "P-384"}],
        "of another type": [jwk_of(rsa_key(), "one")],
        "one id, two keys": [good, jwk_of(ec_key(2), "one")],
        "an id that is no text": [{**good, "kid": 1}, jwk_of(ec_key(2), "two")],
    }
    return {
        **{what: {"keys": listed} for what, listed in keys.items()},
        "a list": [],
        "no keys": {},
        "text": {"keys": "x"},
    }


async def test_a_key_that_does_not_fit_the_algorithm_or_is_told_twice_is_no_key(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    taken: dict[str, bool] = {}

    for what, published in misfits().items():
        issuer.pages["/keys"] = json.dumps(published).encode()
        taken[what] = await accepted(tokens, fresh(issuer, clock))
        clock.advance(COOLDOWN_SECONDS)

    del issuer.pages["/keys"]
    assert {what for what, is_taken in taken.items() if is_taken} == set()
    assert await accepted(tokens, fresh(issuer, clock))
    assert len(issuer.asked) == 2 * (len(taken) + 1)


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_a_short_rsa_key_is_no_key(tmp_path: Path, clock: TestClock) -> None:
    async with local_issuer("RS256") as issuer, verifier(issuer, clock, tmp_path) as tokens:
        issuer.keys = {"one": rsa_key(1024)}

        assert not await accepted(tokens, fresh(issuer, clock))


async def test_a_token_without_a_key_id_is_taken_where_the_issuer_has_one_key(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    nameless = issuer.token(issuer.claims(clock.now()), kid=None)
    issuer.more = [jwk_of(rsa_key(), "for another algorithm")]

    assert await accepted(tokens, nameless)


async def test_a_token_without_a_key_id_is_refused_where_the_issuer_has_two(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock
) -> None:
    nameless = issuer.token(issuer.claims(clock.now()), kid=None)
    issuer.keys["two"] = ec_key(2)

    assert not await accepted(tokens, nameless)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/.well-known/openid-configuration", {"issuer": "https://evil.example", "jwks_uri": "{url}/keys"}),
        ("/.well-known/openid-configuration", {"issuer": "{url}"}),
        ("/.well-known/openid-configuration", {"issuer": "{url}", "jwks_uri": ["{url}/keys"]}),
        ("/.well-known/openid-configuration", {"issuer": "{url}", "jwks_uri": "http://127.0.0.1:1/keys"}),
        (
            "/.well-known/openid-configuration",
            {"issuer": "{url}", "jwks_uri": "http://localhost:{port}/keys"},
        ),
        (
            "/.well-known/openid-configuration",
            {"issuer": "{url}", "jwks_uri": "https://169.254.169.254/keys"},
        ),
        ("/.well-known/openid-configuration", {"issuer": "{url}", "jwks_uri": "https://127.0.0.1/keys"}),
        ("/.well-known/openid-configuration", {"issuer": "{url}", "jwks_uri": "file:///etc/passwd"}),
        ("/.well-known/openid-configuration", {"issuer": "{url}", "jwks_uri": "https://[::1/keys"}),
        ("/.well-known/openid-configuration", "elsewhere"),
        ("/keys", "elsewhere"),
        ("/keys", "[" * 50_000),
        ("/keys", "no JSON"),
        ("/keys", " " * 300_000 + "{}"),
    ],
)
async def test_what_an_issuer_says_of_its_keys_is_held_to_the_rules_of_guarded_requests(
    tokens: Tokens, issuer: LocalIssuer, clock: TestClock, path: str, content: object
) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    issuer.pages["/elsewhere"] = json.dumps({"keys": [jwk_of(ec_key(1), "one")]}).encode()
    issuer.pages[path] = text.replace("{url}", issuer.url).replace("{port}", str(issuer.port)).encode()

    assert not await accepted(tokens, fresh(issuer, clock))


async def test_plain_http_is_for_hosts_that_the_operator_calls_private(
    tmp_path: Path, issuer: LocalIssuer, clock: TestClock
) -> None:
    named = read_issuer_file(issuer.file(tmp_path))[0]
    tokens = Tokens([replace(named, private_hosts=())], clock)

    assert not await accepted(tokens, fresh(issuer, clock))
    assert issuer.asked == []


async def test_roles_deep_in_a_token_stand_for_scopes(
    tmp_path: Path, issuer: LocalIssuer, clock: TestClock
) -> None:
    scopes = {
        "claim": ["realm", "roles"],
        "of": {"lead": ["approvals:decide", "tasks:read"], "dev": ["tasks:write"]},
    }

    async with verifier(issuer, clock, tmp_path, scopes=scopes, jwks_url=f"{issuer.url}/keys") as tokens:
        told: list[object] = [
            ["lead", "dev", "other", 7],
            "lead dev",
            ["lead", ["dev"]],
            "LEAD",
            {"lead": True},
            None,
        ]
        found = [
            (await tokens.verify(fresh(issuer, clock, realm={"roles": roles}))).principal.scopes
            for roles in told
        ]

    lead, dev = {Scope.APPROVALS_DECIDE, Scope.TASKS_READ}, {Scope.TASKS_WRITE}
    assert found == [lead | dev, lead | dev, lead, set(), set(), set()]
    assert issuer.asked == ["/keys"]


def test_no_two_subjects_have_one_id_and_no_id_is_longer_than_its_column() -> None:
    subjects = [
        "alice",
        "a" * 255,
        "a" * 254 + "b",
        "bob smith",
        "bob\u00a0smith",
        "~" + "0" * 40,
        "\ud800",
        "x:y",
        "é",
    ]

    ids = [principal_id("corp", subject) for subject in subjects]

    assert len(set(ids)) == len(subjects)
    assert max(map(len, ids)) <= 64
    assert ids[0] == "corp:alice"
    assert all(one.isascii() and one.isprintable() and " " not in one for one in ids)
