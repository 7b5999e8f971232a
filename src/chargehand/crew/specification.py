"""Reads a service specification (YAML or JSON) into frozen values; everything that is wrong is told at once.

The format is described in docs/guide/specification.md.
"""

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from chargehand.crew import specification_model as model
from chargehand.crew.specification_data import as_data
from chargehand.crew.specification_model import ServiceSpecification
from chargehand.crew.specification_resources import RESOURCE_KEYS, read_permissions, read_resource
from chargehand.crew.specification_rules import (
    check_names,
    check_ownership,
    check_permission_words,
    check_references,
    check_relations,
    package_is_taken,
    with_permissions,
)
from chargehand.crew.specification_section import WORD, Section, did_you_mean
from chargehand.crew.specification_tree import Entries, Node, tree_of_data, tree_of_text
from chargehand.errors import Finding, InvalidSpecification

__all__ = ["ServiceSpecification", "as_data", "parse_specification", "specification_from_data"]

MAX_RESOURCES = 40
MAX_FINDINGS = 100
KEYS = (
    "service", "authentication", "rate_limit", "pagination", "permissions", "resources", "performance",
    "integrations",
)  # fmt: skip


def parse_specification(text: str, *, name: str = "specification") -> ServiceSpecification:
    """Read YAML or JSON. Raises InvalidSpecification with every finding; `name` is the file's."""
    findings: list[Finding] = []
    return _read(tree_of_text(text, name=name, findings=findings), name, findings)


def specification_from_data(data: object, *, name: str = "specification") -> ServiceSpecification:
    """Read what `as_data` made, or a specification that came as JSON; findings have no lines then."""
    findings: list[Finding] = []
    return _read(tree_of_data(data, name=name, findings=findings), name, findings)


def _read(root: Node, name: str, findings: list[Finding]) -> ServiceSpecification:
    if not isinstance(root, Entries):
        findings.append(
            Finding(where=name, message="must be a mapping", hint="start with `service:`", line=root.line)
        )
        raise _invalid(name, findings)
    # The root's own path is empty, so that findings read `resources.book.fields.title`.
    section = Section(root, "", findings, KEYS)
    authentication = _read_authentication(section)
    resources = _read_resources(section, authentication)
    specification = replace(
        _read_service(section),
        authentication=authentication,
        rate_limit=_read_rate_limit(section),
        pagination=_read_pagination(section),
        resources=resources,
        performance=_read_performance(section, resources),
        integrations=_read_integrations(section, resources),
    )
    if findings:
        raise _invalid(name, findings)
    return specification


def _invalid(name: str, findings: Sequence[Finding]) -> InvalidSpecification:
    distinct = sorted(dict.fromkeys(findings), key=lambda finding: finding.line or 0)[:MAX_FINDINGS]
    number = "1 fault" if len(distinct) == 1 else f"{len(distinct)} faults"
    return InvalidSpecification(f"{name} has {number}; the first: {distinct[0]}", findings=distinct)


def _read_service(section: Section) -> ServiceSpecification:
    one = section.section("service", ("name", "title", "description", "version"))
    name = one.text("name")
    if not name:
        one.report("name", "the service has no name", "service: {name: bookstore}")
    elif not WORD.fullmatch(name) or len(name) > 40:
        one.report(
            "name", f"{name!r:.60} cannot be a service name", "lower case letters, digits, - (at most 40)"
        )
    elif package_is_taken(name.replace("-", "_")):
        one.report(
            "name",
            f"{name!r} would hide a module of Python or of a library",
            f"name it {name + '-service'!r}",
        )
    return ServiceSpecification(
        name=name or "service",
        title=one.text("title") or name.replace("-", " ").replace("_", " ").title(),
        description=one.text("description", max_length=2000, multiline=True),
        version=_read_version(one),
    )


def _read_version(section: Section) -> str:
    version = section.text("version", "1.0.0", max_length=40)
    parts = version.split(".")
    if not 1 <= len(parts) <= 3 or not all(each.isascii() and each.isdigit() for each in parts):
        section.report("version", f"{version!r} is no version", 'write "1.0.0"')
        return "1.0.0"
    return version


def _read_authentication(section: Section) -> model.Authentication:
    if section.entries.nodes.get("authentication") is None:
        return model.Authentication()
    one = section.section("authentication", ("method", "roles", "registration", "access_token_minutes"))
    methods = tuple(each.value for each in model.AuthenticationMethod)
    if not one.has("method"):
        one.report("method", "the method is missing", f"one of: {', '.join(methods)}")
    method = model.AuthenticationMethod(one.choice("method", methods, model.AuthenticationMethod.NONE))
    roles = one.words("roles", what="role")
    for role in roles:
        if (
            not WORD.fullmatch(role)
            or len(role) > 40
            or role in {model.PUBLIC, model.AUTHENTICATED, model.OWNER}
        ):
            one.report(
                "roles",
                f"{role!r:.60} cannot be a role",
                "a lower case word but public, authenticated, owner",
            )
    if method is model.AuthenticationMethod.NONE and roles:
        one.report("roles", "roles mean nothing without authentication", "choose method jwt or api_key")
    if method is not model.AuthenticationMethod.JWT:
        for key in ("registration", "access_token_minutes"):
            if one.has(key):
                one.report(key, f"means nothing for method {method}", "it is for jwt")
    elif not roles:
        roles = ("user",)
    registration = one.text("registration") or None
    if registration and registration not in roles:
        one.report("registration", f"{registration!r} is no role", did_you_mean(registration, roles))
    minutes = one.integer("access_token_minutes", 15, least=1, most=15)
    return model.Authentication(
        method=method, roles=roles, registration=registration, access_token_minutes=minutes
    )


def _read_rate_limit(section: Section) -> model.RateLimit:
    one = section.section("rate_limit", ("requests", "per_seconds"))
    return model.RateLimit(
        requests=one.integer("requests", 300, least=1, most=1_000_000),
        per_seconds=one.integer("per_seconds", 60, least=1, most=86_400),
    )


def _read_pagination(section: Section) -> model.Pagination:
    one = section.section("pagination", ("default", "maximum"))
    maximum = one.integer("maximum", 100, least=1, most=1000)
    default = one.integer("default", min(20, maximum), least=1, most=1000)
    if default > maximum:
        one.report("default", f"{default} is more than the maximum {maximum}", "swap them")
    return model.Pagination(default=default, maximum=maximum)


def _read_resources(section: Section, authentication: model.Authentication) -> tuple[model.Resource, ...]:
    usual_section = section.section("permissions")
    usual = read_permissions(usual_section, model.CRUD_OPERATIONS)
    check_permission_words(usual, authentication, section, "permissions")
    if any(model.OWNER in who for who in usual.values()):
        section.report(
            "permissions", "not every resource has an owner", "name `owner` in the resources that have one"
        )
    outer = section.section("resources")
    found: list[model.Resource] = []
    for name, node in outer.entries.nodes.items():
        if not outer.checked_name(name, "resource"):
            continue
        if not isinstance(node, Entries):
            outer.report(name, "a resource is a mapping", f"{name}: {{fields: {{name: string}}}}")
            continue
        one = Section(node, f"{outer.where}.{name}", section.findings, RESOURCE_KEYS, outer.line(name))
        resource = read_resource(name, one)
        check_permission_words(resource.permissions, authentication, one, "permissions")
        found.append(with_permissions(resource, usual, authentication, one))
    if not outer.entries.nodes:
        section.report("resources", "there is no resource", "resources: {book: {fields: {title: string}}}")
    if len(found) > MAX_RESOURCES:
        section.report("resources", f"more than {MAX_RESOURCES} resources", "split the service")
    check_names(found, outer)
    check_relations(found, outer)
    check_ownership(found, authentication, outer)
    check_references(found, outer)
    return tuple(found)


def _read_performance(section: Section, resources: tuple[model.Resource, ...]) -> model.Performance:
    one = section.section("performance", ("volume", "operations"))
    volumes = one.section("volume")
    names = tuple(each.name for each in resources)
    volume: dict[str, int] = {}
    for name in volumes.entries.nodes:
        if name not in names:
            volumes.report(name, f"there is no resource {name!r}", did_you_mean(name, names))
        else:
            volume[name] = volumes.integer(name, 1, least=1, most=1_000_000)
    operations = {f"{each.name}.{operation}": each for each in resources for operation in each.all_operations}
    targets: list[model.PerformanceTarget] = []
    for name, target in one.sections("operations", ("p95_ms", "requests_per_second")):
        resource = operations.get(name)
        if resource is None:
            one.section("operations").report(
                name, f"there is no operation {name!r}", did_you_mean(name, [*operations])
            )
            continue
        p95_ms = target.number("p95_ms", None, least=0.1, most=600_000)
        rate = target.number("requests_per_second", None, least=0.01, most=1_000_000)
        if p95_ms is None and rate is None:
            target.report(None, "names no need", "p95_ms, requests_per_second, or both")
        operation = name.partition(".")[2]
        targets.append(
            model.PerformanceTarget(
                resource=resource.name, operation=operation, p95_ms=p95_ms, requests_per_second=rate
            )
        )
    return model.Performance(targets=tuple(targets), volume=MappingProxyType(volume))


def _read_integrations(
    section: Section, resources: tuple[model.Resource, ...]
) -> tuple[model.Integration, ...]:
    keys = ("description", "timeout_seconds", "retries", "circuit", "events")
    found: list[model.Integration] = []
    outer = section.section("integrations")
    for name, one in section.sections("integrations", keys):
        if not outer.checked_name(name, "integration"):
            continue
        circuit = one.section("circuit", ("failures", "reset_seconds"))
        found.append(
            model.Integration(
                name=name,
                description=one.text("description", max_length=500, multiline=True),
                base_url_env=f"{name.upper()}_BASE_URL",
                token_env=f"{name.upper()}_TOKEN",
                timeout_seconds=one.number("timeout_seconds", 5.0, least=0.1, most=60),
                retries=one.integer("retries", 3, least=0, most=20),
                circuit_failures=circuit.integer("failures", 5, least=1, most=100),
                circuit_reset_seconds=circuit.number("reset_seconds", 30.0, least=0.1, most=3600),
                events=_read_events(one, resources),
            )
        )
    if len(found) > 10:
        section.report("integrations", "more than 10 integrations", "put a message broker between")
    return tuple(found)


def _read_events(
    section: Section, resources: tuple[model.Resource, ...]
) -> tuple[model.IntegrationEvent, ...]:
    known = {
        f"{each.name}.{operation}": (each.name, operation)
        for each in resources
        for operation in each.all_operations
        if operation not in {"list", "get"}
    }
    outer = section.section("events")
    found: list[model.IntegrationEvent] = []
    for name in outer.entries.nodes:
        path = outer.text(name)
        if name not in known:
            outer.report(name, f"{name!r} changes nothing that can be told", did_you_mean(name, tuple(known)))
        elif not path.startswith("/") or not set(path) <= _PATH_CHARACTERS:
            outer.report(name, f"{path!r:.80} is no path", "/events/loan-returned")
        else:
            found.append(model.IntegrationEvent(resource=known[name][0], operation=known[name][1], path=path))
    if not outer.entries.nodes:
        section.report(
            "events", "an integration that is told nothing", "events: {book.create: /events/book-created}"
        )
    return tuple(found)


_PATH_CHARACTERS: frozenset[Any] = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_-.~"
)
