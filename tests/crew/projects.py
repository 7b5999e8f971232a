"""Projects that the tests of the crew's parts are made from: specifications, and rendered parts in a folder."""

import subprocess
import sys
from pathlib import Path

from chargehand.crew.blueprint import parts, render
from chargehand.crew.specification import ServiceSpecification, parse_specification

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 60

# What a service needs to run and to be measured.
RUNNING = tuple(part for part in parts() if part in {"project", "database", "service", "workbench"})

# As little as a service can be: nobody logs in, one resource.
TINY = """
service: {name: jot}
resources:
  note:
    fields:
      text: {type: text}
"""

# What the bookstore has not: keys instead of accounts, optional and unique references, pairs, a tree, odd names.
SHOP = """
service: {name: corner-shop, title: "The <Corner> & \\"Shop\\"", description: Sells | things.}
authentication: {method: api_key, roles: [admin, clerk]}
permissions: {read: authenticated, write: [admin, clerk]}
resources:
  country:
    fields: {code: {type: string, max_length: 2, unique: true}}
  customer:
    fields: {name: {type: string}, email: {type: email, unique: true}, secret: {type: password}}
    belongs_to: {country: {nullable: true, on_delete: set_null}}
  category:
    fields: {name: {type: string}}
    belongs_to: {parent: {resource: category, nullable: true, on_delete: cascade}}
  tag:
    fields: {name: {type: string, unique: true}}
  product:
    fields:
      name: {type: string, max_length: 80}
      price: {type: decimal, precision: 10, scale: 2, minimum: 0}
      weight: {type: number, minimum: 0, maximum: 1000}
      state: {type: enum, values: [new, used-up], default: new}
      homepage: {type: url, nullable: true}
      code: {type: uuid, nullable: true}
    belongs_to: {category: {nested: true}, country: {}}
    many_to_many: {tags: {resource: tag}}
    sort: [price]
  order:
    fields: {placed_at: {type: datetime, default: now}, is_gift: {type: boolean, default: false}}
    belongs_to: {customer: {}}
    states:
      initial: open
      values: [open, in_work, done]
      transitions:
        begin: {from: open, to: in_work, allow: clerk}
        finish: {from: [open, in_work], to: done, allow: admin}
  order_line:
    fields: {quantity: {type: integer, minimum: 1, maximum: 99}}
    belongs_to: {order: {on_delete: cascade}, product: {}}
    indexes:
      - {on: [order, product], unique: true}
  invoice:
    fields: {number: {type: string, unique: true}}
    belongs_to: {order: {unique: true}, country: {}}
"""


def bookstore() -> ServiceSpecification:
    return parse_specification((ROOT / "examples" / "bookstore.yaml").read_text(encoding="utf-8"))


def shop() -> ServiceSpecification:
    return parse_specification(SHOP)


def tool_shed() -> ServiceSpecification:
    """Every odd thing that the format allows."""
    path = ROOT / "tests" / "crew" / "specifications" / "tool_shed.yaml"
    return parse_specification(path.read_text(encoding="utf-8"))


def tiny() -> ServiceSpecification:
    return parse_specification(TINY)


def write(spec: ServiceSpecification, folder: Path, *names: str) -> Path:
    """The folder, with these parts of the project in it."""
    for part in names:
        for path, text in render(spec, part).items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8", newline="\n")
    return folder


def run(
    project: Path, *arguments: str, timeout_seconds: float = TIMEOUT_SECONDS
) -> subprocess.CompletedProcess[str]:
    """A Python program of the project, run in its folder; what it said."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=timeout_seconds,
        check=False,
    )
