"""The operator's file of issuers: YAML, name → who it is, whom its tokens are for, what their claims are worth.

Rule: half an entry is no entry. What is misspelt, open to anyone or not https stops the service at its start.
"""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from chargehand.domain.access import Scope
from chargehand.domain.issuer import ALGORITHMS, ClaimPath, Issuer, ScopeRule, TenantRule
from chargehand.domain.tenant import TENANT_ID_PATTERN
from chargehand.errors import Finding, InvalidInput
from chargehand.network.operators_places import checked_place

SETTING = "CHARGEHAND_ISSUERS_FILE"
MAX_FILE_BYTES = 1024 * 1024
MAX_ISSUERS = 20
_NAME = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,14}[a-z0-9])?$")]
_TENANT = Annotated[str, Field(pattern=TENANT_ID_PATTERN)]
_VALUE = Annotated[str, Field(min_length=1, max_length=512)]
_CLAIM = Annotated[str, Field(min_length=1, max_length=256)]


class _Read(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Claim(_Read):
    claim: _CLAIM | tuple[_CLAIM, ...]

    @property
    def path(self) -> ClaimPath:
        return (self.claim,) if isinstance(self.claim, str) else self.claim


class _Tenants(_Claim):
    of: dict[_VALUE, _TENANT] = Field(min_length=1)


class _Scopes(_Claim):
    of: dict[_VALUE, list[Scope]] = Field(min_length=1)


class _Entry(_Read):
    issuer: str
    audience: str = Field(min_length=1, max_length=512)
    algorithm: str
    scopes: _Scopes
    tenant: _TENANT | None = None
    tenants: _Tenants | None = None
    jwks_url: str | None = None
    types: list[Literal["at+jwt", "jwt", "absent"]] = Field(default=["at+jwt"], min_length=1)
    max_lifetime_seconds: int = Field(default=900, ge=60, le=86_400)
    required_claims: dict[_CLAIM, _VALUE | bool | list[_VALUE]] = Field(default_factory=dict)
    private_hosts: tuple[str, ...] = ()

    @field_validator("algorithm")
    @classmethod
    def _is_of_a_key_pair(cls, algorithm: str) -> str:
        if algorithm not in ALGORITHMS:
            raise ValueError(
                f"is one of {', '.join(ALGORITHMS)}; a shared secret (HS256) would let each service that checks"
                " tokens make them"
            )
        return algorithm

    @field_validator("types", mode="before")
    @classmethod
    def _in_lower_case(cls, types: object) -> object:
        return [str(one).lower() for one in types] if isinstance(types, list) else types  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - YAML of an operator

    @model_validator(mode="after")
    def _is_whole(self) -> "_Entry":
        if (self.tenant is None) == (self.tenants is None):
            raise ValueError("needs either `tenant` (one for all its tokens) or `tenants` (by a claim)")
        if "?" in self.issuer:
            raise ValueError("`issuer` is the `iss` of its tokens, an address without a query")
        try:
            for url in (self.issuer, self.jwks_url):
                if url is not None:
                    checked_place(url, self.private_hosts)
        except InvalidInput as error:
            raise ValueError(error.message) from error
        return self


def read_issuer_file(path: Path | None) -> list[Issuer]:
    """The issuers of the file. InvalidInput tells all that is wrong with it."""
    if path is None:
        return []
    try:
        content = path.read_bytes()
        data: Any = yaml.safe_load(content.decode("utf-8-sig")) if len(content) <= MAX_FILE_BYTES else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InvalidInput(f"{SETTING}: {path} cannot be read: {error}") from error
    listed = data.get("issuers") if isinstance(data, dict) and set(data) == {"issuers"} else None  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType, reportUnknownVariableType] - YAML of an operator
    if not isinstance(listed, dict) or not 1 <= len(listed) <= MAX_ISSUERS:  # pyright: ignore[reportUnknownArgumentType] - as above
        raise InvalidInput(
            f"{SETTING}: {path} is no `issuers:` with 1 to {MAX_ISSUERS} entries `name: …` below it"
        )
    try:
        names = _Names.model_validate({"issuers": listed})
    except ValidationError as error:
        findings = [
            Finding(
                where=".".join(str(part) for part in one["loc"]),
                message=one["msg"].removeprefix("Value error, "),
            )
            for one in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise InvalidInput(f"{SETTING}: {path}: {findings[0]}", findings=findings) from None
    urls = [entry.issuer for entry in names.issuers.values()]
    if len(set(urls)) < len(urls):
        raise InvalidInput(
            f"{SETTING}: {path} has two entries for one issuer; which one holds could not be told"
        )
    return [_issuer(name, entry) for name, entry in names.issuers.items()]


class _Names(_Read):
    issuers: dict[_NAME, _Entry]


def _issuer(name: str, entry: _Entry) -> Issuer:
    tenants = entry.tenants
    return Issuer(
        name=name,
        url=entry.issuer,
        audience=entry.audience,
        algorithm=entry.algorithm,
        jwks_url=entry.jwks_url,
        types=frozenset(entry.types),
        max_lifetime=timedelta(seconds=entry.max_lifetime_seconds),
        tenant=(
            TenantRule(fixed=entry.tenant)
            if tenants is None
            else TenantRule(claim=tenants.path, of=tenants.of)
        ),
        scopes=ScopeRule(
            claim=entry.scopes.path,
            of={value: frozenset(scopes) for value, scopes in entry.scopes.of.items()},
        ),
        required={claim: _values(wanted) for claim, wanted in entry.required_claims.items()},
        private_hosts=entry.private_hosts,
    )


def _values(wanted: str | bool | list[str]) -> frozenset[str]:
    if isinstance(wanted, bool):
        return frozenset({"true" if wanted else "false"})
    return frozenset([wanted] if isinstance(wanted, str) else wanted)
