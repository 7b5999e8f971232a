"""What every agent of the crew takes: a service specification, refused where it is submitted.

Rule: no import of what the crew works with. This is loaded on the event loop, by the first task for one of them.
"""

from functools import lru_cache

from chargehand.crew.specification import ServiceSpecification, parse_specification
from chargehand.domain.values import JsonObject
from chargehand.errors import Finding, InvalidInput


@lru_cache(maxsize=32)
def parsed(text: str) -> ServiceSpecification:
    """As `parse_specification`; each step of a playbook asks anew."""
    return parse_specification(text)


def check_specification(task_data: JsonObject) -> None:
    """What every agent of the crew takes: `{"specification": "<YAML or JSON text>"}`, and no other keys."""
    text = task_data.get("specification")
    if not isinstance(text, str):
        finding = Finding(
            where="task_data.specification",
            message="is missing" if text is None else "is not text",
            hint="the text of a service specification, in YAML or JSON (`chargehand run … --spec FILE`)",
        )
        raise InvalidInput(f"this agent works from a service specification: {finding}", findings=[finding])
    for key in task_data:
        if key != "specification":
            raise InvalidInput(
                f"task_data has the unknown key {key!r}; this agent takes `specification` alone"
            )
    parsed(text)
