"""A specification as JSON data in the format itself, so that a task can carry it.

Rule: reading what this writes gives the same specification.
"""

from typing import Any

from chargehand.crew.specification_model import (
    BelongsTo,
    Field,
    FieldType,
    Integration,
    OnDelete,
    Resource,
    ServiceSpecification,
    States,
)


def as_data(specification: ServiceSpecification) -> dict[str, Any]:
    """The specification as JSON-able data; `specification_from_data` reads it back."""
    authentication = specification.authentication
    return {
        "service": {
            "name": specification.name,
            "title": specification.title,
            "description": specification.description,
            "version": specification.version,
        },
        "authentication": _without_blanks(
            {
                "method": authentication.method.value,
                "roles": list(authentication.roles),
                "registration": authentication.registration,
                "access_token_minutes": authentication.access_token_minutes
                if authentication.method == "jwt"
                else None,
            }
        ),
        "rate_limit": {
            "requests": specification.rate_limit.requests,
            "per_seconds": specification.rate_limit.per_seconds,
        },
        "pagination": {
            "default": specification.pagination.default,
            "maximum": specification.pagination.maximum,
        },
        "resources": {
            each.name: _resource(each, guarded=authentication.method != "none")
            for each in specification.resources
        },
        "performance": _performance(specification),
        "integrations": {each.name: _integration(each) for each in specification.integrations},
    }


def _resource(resource: Resource, *, guarded: bool) -> dict[str, Any]:
    crud = {each: list(resource.permissions[each]) for each in resource.operations}
    return _without_blanks(
        {
            "plural": resource.plural,
            "description": resource.description,
            "fields": {each.name: _field(each) for each in resource.fields},
            "belongs_to": {each.name: _belongs_to(each) for each in resource.belongs_to},
            "many_to_many": {
                each.name: {"resource": each.resource, "description": each.description}
                for each in resource.many_to_many
            },
            "indexes": [{"on": list(each.on), "unique": each.unique} for each in resource.indexes],
            "operations": list(resource.operations),
            "filter": list(resource.filters),
            "sort": list(resource.sorts),
            "search": list(resource.searches),
            "states": _states(resource.states, resource, guarded=guarded) if resource.states else None,
            "owned_by": resource.owned_by,
            "permissions": crud if guarded else None,
        }
    )


def _field(field: Field) -> dict[str, Any]:
    is_string = field.type in {FieldType.STRING, FieldType.TEXT}
    return _without_blanks(
        {
            "type": field.type.value,
            "description": field.description,
            "required": field.required,
            "nullable": field.nullable,
            "unique": field.unique,
            "minimum": field.minimum,
            "maximum": field.maximum,
            "min_length": field.min_length,
            "max_length": field.max_length if is_string else None,
            "pattern": field.pattern,
            "precision": field.precision,
            "scale": field.scale,
            "values": list(field.values),
            "default": field.default,
            "read_only": field.read_only,
            "write_only": field.write_only,
            "example": field.example,
        }
    )


def _belongs_to(relation: BelongsTo) -> dict[str, Any]:
    return _without_blanks(
        {
            "resource": relation.resource,
            "on_delete": relation.on_delete.value if relation.on_delete is not OnDelete.RESTRICT else None,
            "nullable": relation.nullable,
            "unique": relation.unique,
            "nested": relation.nested,
            "description": relation.description,
        }
    )


def _states(states: States, resource: Resource, *, guarded: bool) -> dict[str, Any]:
    return {
        "field": states.field,
        "values": list(states.values),
        "initial": states.initial,
        "transitions": {
            each.name: _without_blanks(
                {"from": list(each.sources), "to": each.target, "description": each.description}
                | ({"allow": list(resource.permissions[each.name])} if guarded else {})
            )
            | ({"set": dict(each.sets)} if each.sets else {})
            for each in states.transitions
        },
    }


def _performance(specification: ServiceSpecification) -> dict[str, Any]:
    return {
        "volume": dict(specification.performance.volume),
        "operations": {
            f"{each.resource}.{each.operation}": _without_blanks(
                {"p95_ms": each.p95_ms, "requests_per_second": each.requests_per_second}
            )
            for each in specification.performance.targets
        },
    }


def _integration(integration: Integration) -> dict[str, Any]:
    return {
        "description": integration.description,
        "timeout_seconds": integration.timeout_seconds,
        "retries": integration.retries,
        "circuit": {
            "failures": integration.circuit_failures,
            "reset_seconds": integration.circuit_reset_seconds,
        },
        "events": {f"{each.resource}.{each.operation}": each.path for each in integration.events},
    }


def _without_blanks(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None and value not in ("", [], {})}
