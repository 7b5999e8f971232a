"""Renders a service from its specification: a part of the project as texts by path.

A part is a folder of templates under `blueprints/fastapi/`. In a template's path `[package]` stands for the service's
package and `[resource]` for each resource; a template that renders to nothing makes no file.
Rule: the same specification gives the same texts, and whatever stands in it is only ever data in them.
"""

import json
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chargehand.crew import review
from chargehand.crew.blueprint_columns import as_query, sql_text
from chargehand.crew.blueprint_data_model import data_model
from chargehand.crew.blueprint_drawing import drawing
from chargehand.crew.blueprint_formatting import formatted
from chargehand.crew.blueprint_pins import pinned
from chargehand.crew.blueprint_views import ResourceView, ServiceView
from chargehand.crew.blueprint_workbench import counted
from chargehand.crew.specification_model import ServiceSpecification
from chargehand.errors import InvalidInput

BLUEPRINTS = Path(__file__).parent / "blueprints" / "fastapi"
_SUFFIX = ".j2"
_GLOBALS: dict[str, Any] = {"data_model": data_model, "drawing": drawing, "counted": counted, "tuple": tuple}


def parts() -> tuple[str, ...]:
    """The parts a project is rendered in."""
    return tuple(
        sorted(each.name for each in BLUEPRINTS.iterdir() if each.is_dir() and not each.name.startswith("_"))
    )


def render(spec: ServiceSpecification, part: str) -> dict[str, str]:
    """Every file of a part, by its path in the project (with `/`), Python already formatted."""
    if part not in parts():
        raise InvalidInput(f"there is no part {part!r} of a project; there are: {', '.join(parts())}")
    service = ServiceView(spec)
    files: dict[str, str] = {}
    for path in _templates(part):
        for target, resource in _targets(path.relative_to(part), service):
            template = _environment().get_template(path.as_posix(), globals=_GLOBALS)
            text = template.render(
                service=service, spec=spec, resource=resource, pinned=pinned, review=review
            )
            if text.strip():
                files[target] = text.strip("\n") + "\n"
    return dict(sorted(formatted(files, package=service.package).items()))


def _templates(part: str) -> Iterator[PurePosixPath]:
    for path in sorted((BLUEPRINTS / part).rglob(f"*{_SUFFIX}")):
        yield PurePosixPath(path.relative_to(BLUEPRINTS).as_posix())


def _targets(path: PurePosixPath, service: ServiceView) -> Iterator[tuple[str, ResourceView | None]]:
    target = path.as_posix().removesuffix(_SUFFIX).replace("[package]", service.package)
    if "[resource]" not in target:
        yield target, None
        return
    for resource in service.resources:
        yield target.replace("[resource]", resource.module), resource


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(BLUEPRINTS),
        # What is rendered is Python, TOML, Markdown: each has its own filter below, and none is HTML.
        autoescape=False,  # noqa: S701 - no HTML is rendered; see above
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "py": repr,
        "doc": in_docstring,
        "md": in_markdown,
        "toml": in_toml,
        "json": in_json,
    }
    environment.filters |= {
        "wrapped": wrapped,
        "comment": in_comment,
        "sqltext": sql_text,
        "as_query": as_query,
    }
    return environment


def in_docstring(text: str) -> str:
    """Text that stands between triple quotes and stays text there."""
    return _in_one_line(text).replace("\\", "\\\\").replace('"', '\\"')


def in_comment(text: str) -> str:
    """Text that stands behind a `#`: one line."""
    return _in_one_line(text)


def _in_one_line(text: str) -> str:
    # What cannot be seen could make code read otherwise than it runs: marks of direction, for one.
    return "".join(each for each in " ".join(text.split()) if each.isprintable())


def in_markdown(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return "".join(f"\\{each}" if each in "\\`*_{}[]<>()#+!|~$&" else each for each in _in_one_line(text))


def in_toml(text: str) -> str:
    """A TOML basic string."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def in_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def wrapped(text: str, width: int = 96, indent: str = "") -> str:
    """Text in lines that fit."""
    return textwrap.fill(
        text, width=width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
