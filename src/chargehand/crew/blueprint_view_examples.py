"""The examples of the OpenAPI document: rows that refer to each other by ids that are the same everywhere."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from chargehand.crew.blueprint_view_resource import ResourceView


@dataclass(frozen=True)
class ResourceExamples:
    """The examples of one resource."""

    of: "ResourceView"

    def id(self, number: int = 0) -> str:
        """An id that is the same wherever the document shows a row of this resource."""
        position = next(
            index for index, each in enumerate(self.of.service.resources) if each.name == self.of.name
        )
        return str(UUID(int=0x0198C0DE00007000800000000000_0000 + position * 256 + number))

    @cached_property
    def create(self) -> dict[str, object]:
        values: dict[str, object] = {each.name: each.sample() for each in self.of.writable}
        values |= {
            each.column: each.parent.examples.id(1 if each.is_self else 0)
            for each in self.of.relations
            if not each.is_self
        }
        return values | {
            each.attribute: [each.target.examples.id()]
            for each in self.of.links
            if each.target.name != self.of.name
        }

    @cached_property
    def update(self) -> dict[str, object]:
        values: dict[str, object] = {each.name: each.sample(1) for each in self.of.writable[:1]}
        return values | {"version": 1}

    @cached_property
    def read(self) -> dict[str, object]:
        values: dict[str, object] = {"id": self.id()}
        values |= {
            each.name: each.shown() if not each.field.read_only else each.shown_default
            for each in self.of.readable
        }
        if self.of.resource.states:
            values[self.of.resource.states.field] = self.of.resource.states.initial
        values |= {
            each.column: None if each.is_self else each.parent.examples.id() for each in self.of.relations
        }
        values |= {
            each.attribute: [] if each.target.name == self.of.name else [each.target.examples.id()]
            for each in self.of.links
        }
        if self.of.is_owned_directly:
            values["owner_id"] = str(UUID(int=0x0198C0DE00007000800000000000_FFFF))
        moment = "2026-01-15T12:00:00Z"
        return values | {"created_at": moment, "updated_at": moment, "version": 1}
