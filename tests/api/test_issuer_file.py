"""The operator's file of issuers: what stops the service at its start, each with the setting and the place."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from chargehand.errors import InvalidInput
from chargehand.service.issuer_file import read_issuer_file
from tests.house.tree import ROOT

GOOD: dict[str, Any] = {
    "issuer": "https://login.example.com/realms/corp",
    "audience": "chargehand",
    "algorithm": "RS256",
    "tenant": "default",
    "scopes": {"claim": "scope", "of": {"chargehand.read": ["tasks:read"]}},
}


def written(folder: Path, content: object) -> Path:
    path = folder / "issuers.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


def test_an_entry_is_read_with_what_it_leaves_out(tmp_path: Path) -> None:
    (found,) = read_issuer_file(written(tmp_path, {"issuers": {"corp": GOOD}}))

    assert found.url == "https://login.example.com/realms/corp"
    assert found.max_lifetime.total_seconds() == 900
    assert found.types == {"at+jwt"}
    assert found.private_hosts == ()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"issuer": None}, "issuer"),
        ({"audience": None}, "audience"),
        ({"audience": ""}, "audience"),
        ({"algorithm": None}, "algorithm"),
        ({"algorithm": "HS256"}, "shared secret"),
        ({"algorithm": "none"}, "shared secret"),
        ({"algorithm": "rs256"}, "is one of"),
        ({"algorithm": ["RS256", "ES256"]}, "algorithm"),
        ({"issuer": "http://login.example.com"}, "not https"),
        ({"issuer": "https://user:word@login.example.com"}, "plain https"),
        ({"issuer": "https://login.example.com?x=1"}, "without a query"),
        ({"issuer": "https://login.example.com:x"}, "no address"),
        ({"issuer": "login.example.com"}, "plain https"),
        ({"jwks_url": "http://keys.example.com"}, "not https"),
        ({"jwks_url": "file:///keys"}, "plain https"),
        ({"tenant": None}, "either `tenant`"),
        ({"tenants": {"claim": "org", "of": {"x": "x"}}}, "either `tenant`"),
        ({"tenant": None, "tenants": {"claim": "org", "of": {}}}, "tenants"),
        ({"tenant": "a b"}, "tenant"),
        ({"tenant": "a" * 64}, "tenant"),
        ({"tenant": "Shop"}, "tenant"),
        ({"tenant": None, "tenants": {"claim": "org", "of": {"Shop": "the_shop"}}}, "tenants"),
        ({"scopes": None}, "scopes"),
        ({"scopes": {"claim": "scope", "of": {}}}, "scopes"),
        ({"scopes": {"claim": "scope", "of": {"x": ["tasks:everything"]}}}, "scopes"),
        ({"scopes": {"claim": "", "of": {"x": ["tasks:read"]}}}, "scopes"),
        ({"types": []}, "types"),
        ({"types": ["id+jwt"]}, "types"),
        ({"max_lifetime_seconds": 0}, "max_lifetime_seconds"),
        ({"max_lifetime_seconds": 86_401}, "max_lifetime_seconds"),
        ({"required_claims": {"email_verified": []}, "nonsense": 1}, "nonsense"),
        ({"leeway": 3600}, "leeway"),
    ],
)
def test_half_an_entry_is_refused_with_its_place(tmp_path: Path, changed: dict[str, Any], says: str) -> None:
    entry = {name: value for name, value in {**GOOD, **changed}.items() if value is not None}

    with pytest.raises(InvalidInput, match="CHARGEHAND_ISSUERS_FILE") as refused:
        read_issuer_file(written(tmp_path, {"issuers": {"corp": entry}}))

    told = " ".join(str(one) for one in refused.value.findings)
    assert says in told
    assert "corp" in told


@pytest.mark.parametrize(
    "content",
    [
        "",
        "issuers: {}",
        "issuers: [corp]",
        "corp: {}",
        "issuers: {corp: x}\nmore: 1",
        "issuers: {Corp: {}}",
        "issuers: {'a b': {}}",
        f"issuers: {{{'a' * 17}: {{}}}}",
        "issuers: {corp: !!python/object/apply:os.system [id]}",
        "issuers: {corp: [",
        "\x00",
        yaml.safe_dump({"issuers": {"one": GOOD, "two": GOOD}}),
        yaml.safe_dump({"issuers": {f"n{number}": GOOD for number in range(21)}}),
        "#" * (1024 * 1024 + 1),
    ],
    ids=lambda content: content[:30],
)
def test_what_is_no_list_of_issuers_is_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(InvalidInput, match="CHARGEHAND_ISSUERS_FILE"):
        read_issuer_file(written(tmp_path, content))


def test_a_file_that_is_not_there_is_told_with_the_setting(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="CHARGEHAND_ISSUERS_FILE"):
        read_issuer_file(tmp_path / "none.yaml")


def test_the_guides_example_is_a_file_that_is_taken(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guide" / "single-sign-on.md").read_text(encoding="utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]

    (found,) = read_issuer_file(written(tmp_path, example))

    assert found.tenant.of == {"Shop GmbH": "shop", "Press Ltd": "press"}
    assert found.scopes.claim == ("realm_access", "roles")
    assert found.required == {"email_verified": {"true"}}


def test_no_file_is_no_issuer() -> None:
    assert read_issuer_file(None) == []
