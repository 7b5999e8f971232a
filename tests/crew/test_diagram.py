"""The part `diagram`: what it documents is what the migration makes, and the picture can be read."""

import re
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest
import sqlalchemy as sa

from chargehand.crew.blueprint import render
from chargehand.crew.blueprint_data_model import DataModel, Rule, Table, data_model
from chargehand.crew.blueprint_layout import Box, Layout, laid_out
from chargehand.crew.blueprint_views import ServiceView
from chargehand.crew.specification import ServiceSpecification, parse_specification
from tests.crew.projects import RUNNING, bookstore, run, shop, tiny, write

_all = pytest.mark.parametrize("spec", [bookstore(), shop(), tiny()], ids=lambda spec: spec.name)

# The document's types as SQLite keeps them.
_STORED = {"uuid": "CHAR(32)", "double": "DOUBLE"}


def model_of(spec: ServiceSpecification) -> DataModel:
    return data_model(ServiceView(spec))


def migrated(spec: ServiceSpecification, folder: Path) -> sa.Engine:
    project = write(spec, folder, *RUNNING)
    url = f"sqlite+aiosqlite:///{project / f'{spec.package}.db'}"
    program = (
        f"import sys; sys.path.insert(0, 'src'); from {spec.package}.cli import migrate; migrate({url!r})"
    )
    done = run(project, "-c", program)
    assert done.returncode == 0, done.stderr
    return sa.create_engine(f"sqlite:///{project / f'{spec.package}.db'}")


@_all
def test_the_documented_tables_are_those_of_the_migrated_database(
    spec: ServiceSpecification, tmp_path: Path
) -> None:
    model = model_of(spec)

    engine = migrated(spec, tmp_path)
    inspector = sa.inspect(engine)

    assert {table.name for table in model.tables} == set(inspector.get_table_names()) - {"alembic_version"}
    for table in model.tables:
        columns = {each["name"]: each for each in inspector.get_columns(table.name)}
        assert {each.name for each in table.columns} == set(columns)
        for column in table.columns:
            assert stored(column.type) == str(columns[column.name]["type"]).replace(" ", "")
            assert column.is_nullable == columns[column.name]["nullable"], f"{table.name}.{column.name}"
        assert rules_of(inspector, table) == documented(table)
    engine.dispose()


def stored(documented_type: str) -> str:
    if documented_type.startswith("decimal"):
        return "BIGINT"
    return _STORED.get(documented_type, documented_type.upper())


def documented(table: Table) -> set[tuple[str, str]]:
    return {(rule.kind, rule.name) for rule in table.rules}


def rules_of(inspector: sa.Inspector, table: Table) -> set[tuple[str, str]]:
    found = {("primary key", str(inspector.get_pk_constraint(table.name)["name"]))}
    found |= {("foreign key", str(each["name"])) for each in inspector.get_foreign_keys(table.name)}
    found |= {("unique", str(each["name"])) for each in inspector.get_unique_constraints(table.name)}
    found |= {("check", str(each["name"])) for each in inspector.get_check_constraints(table.name)}
    return found | {("index", str(each["name"])) for each in inspector.get_indexes(table.name)}


@_all
def test_every_rule_says_why_it_is_there(spec: ServiceSpecification) -> None:
    rules: list[Rule] = [rule for table in model_of(spec).tables for rule in table.rules]

    assert all(len(rule.why) > 10 for rule in rules)


@_all
def test_no_box_covers_another_and_no_line_passes_through_a_box(spec: ServiceSpecification) -> None:
    layout = laid_out(model_of(spec))

    for one, other in combinations(layout.boxes, 2):
        assert not overlap(one, other), f"{one.table.name} covers {other.table.name}"
    assert len(layout.lines) == len(model_of(spec).references)
    for start, end in pieces(layout):
        for box in layout.boxes:
            assert not passes(start, end, box), f"a line from {start} to {end} passes {box.table.name}"


def overlap(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )


def pieces(layout: Layout) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    return [pair for line in layout.lines for pair in zip(line.points, line.points[1:], strict=False)]


def passes(start: tuple[float, float], end: tuple[float, float], box: Box) -> bool:
    return (
        min(start[0], end[0]) < box.x + box.width
        and max(start[0], end[0]) > box.x
        and min(start[1], end[1]) < box.y + box.height
        and max(start[1], end[1]) > box.y
    )


@_all
def test_every_line_begins_at_its_parent_and_ends_at_the_row_that_refers_to_it(
    spec: ServiceSpecification,
) -> None:
    layout = laid_out(model_of(spec))
    boxes = {box.table.name: box for box in layout.boxes}

    for line in layout.lines:
        parent, child = boxes[line.reference.parent], boxes[line.reference.child]
        assert line.points[0][0] in {parent.x, parent.x + parent.width}
        assert line.points[-1] == (child.x, child.row_middle(line.reference.column))


@_all
def test_the_picture_is_well_formed_holds_every_name_and_stays_inside_its_page(
    spec: ServiceSpecification,
) -> None:
    text = render(spec, "diagram")["docs/data-model.svg"]

    root = ElementTree.fromstring(text)  # noqa: S314 - our own picture
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    words = {each.text for each in root.iter("{http://www.w3.org/2000/svg}text")}
    for table in model_of(spec).tables:
        assert {table.name, *(column.name for column in table.columns)} <= words
    for each in root.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(each.get("x", "0")) + float(each.attrib["width"]) <= width
        assert float(each.get("y", "0")) + float(each.attrib["height"]) <= height


@_all
def test_the_same_specification_gives_the_same_documents(spec: ServiceSpecification) -> None:
    assert render(spec, "diagram") == render(spec, "diagram")


def test_the_document_draws_entities_with_cardinalities_and_states() -> None:
    text = render(bookstore(), "diagram")["docs/data-model.md"]

    assert 'authors ||--o{ books : "author"' in text
    assert 'accounts ||--o{ members : "owner"' in text
    assert "[*] --> s1" in text
    assert "s2 --> s3 : return" in text
    assert "uq_books_author_id_title" in text


def test_an_optional_reference_and_a_unique_one_are_drawn_as_such() -> None:
    text = render(shop(), "diagram")["docs/data-model.md"]

    assert 'countries |o--o{ customers : "country"' in text
    assert 'orders ||--o| invoices : "order"' in text
    assert re.search(r"products_tags \{\n\s+uuid product_id PK, FK", text)


def test_many_tables_in_a_long_chain_are_laid_out_at_once() -> None:
    resources = "\n".join(
        f"  step{number}:\n    fields: {{name: {{type: string}}}}\n    belongs_to: {{"
        + ", ".join(f"step{earlier}: {{}}" for earlier in range(max(0, number - 4), number))
        + "}"
        for number in range(30)
    )
    spec = parse_specification(f"service: {{name: chain}}\nresources:\n{resources}\n")

    layout = laid_out(model_of(spec))

    assert len(layout.boxes) == 30
    assert not any(passes(*piece, box) for piece in pieces(layout) for box in layout.boxes)
