"""Draws a data model as SVG: a box for each table, a line with its cardinalities for each reference.

Rule: one self-contained file without scripts and without fonts of its own; it follows the reader's light or dark mode.
"""

from collections.abc import Iterator
from xml.sax.saxutils import escape

from chargehand.crew.blueprint_data_model import Column, DataModel, TableKind
from chargehand.crew.blueprint_layout import HEADER_HEIGHT, MARGIN, ROW_HEIGHT, Box, Line, laid_out

_CORNER = 7
_LEGEND_HEIGHT = 30
# Plain colours first, since not every viewer knows variables; those that know the reader's mode override them.
_STYLE = """\
  text { font: 12.5px "Inter", "Segoe UI", "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; fill: #1c2430; }
  .page, .ring { fill: #ffffff; }
  .box { fill: #ffffff; stroke: #d3dae5; }
  .title { fill: #ffffff; font-size: 14px; font-weight: 600; }
  .type { font: 11px "JetBrains Mono", Consolas, Menlo, "DejaVu Sans Mono", monospace; fill: #66728a;
    text-anchor: end; }
  .key { font-size: 9px; font-weight: 700; fill: #66728a; text-anchor: middle; letter-spacing: .4px; }
  .pill { fill: none; stroke: #c8d0dd; }
  .stripe { fill: #f5f7fa; }
  .must { font-weight: 600; }
  .line, .ring { stroke: #8592a8; stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round; }
  .line { fill: none; }
  .legend { fill: #66728a; font-size: 11px; }
  .resource { fill: #2f5fd0; }
  .link { fill: #0f8a6d; }
  .service { fill: #6b7688; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6eaf1; }
    .page, .ring { fill: #12161d; }
    .box { fill: #1a202a; stroke: #303948; }
    .type, .key, .legend { fill: #98a4ba; }
    .pill { stroke: #3d485a; }
    .stripe { fill: #1f2632; }
    .line, .ring { stroke: #7f8ca4; }
  }"""


def drawing(model: DataModel, *, title: str) -> str:
    """The SVG text of the whole model."""
    layout = laid_out(model)
    width, height = round(layout.width), round(layout.height) + _LEGEND_HEIGHT
    pieces = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" aria-labelledby="title">',
        f'<title id="title">{escape(title)}</title>',
        f"<style>\n{_STYLE}\n</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        *(_line(each) for each in layout.lines),
        *(piece for each in layout.boxes for piece in _box(each)),
        *(piece for each in layout.lines for piece in _ends(each)),
        *_legend(model, height),
        "</svg>",
    ]
    return "\n".join(pieces) + "\n"


def _box(box: Box) -> Iterator[str]:
    x, y, width, height = (_number(each) for each in (box.x, box.y, box.width, box.height))
    kind = box.table.kind.value
    yield f'<g aria-label="{escape(box.table.name)}">'
    yield f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{height}" rx="{_CORNER}"/>'
    # The header's lower corners are square: the rounded box ends only at its top.
    yield (
        f'<path class="{kind}" d="M{x} {_number(box.y + HEADER_HEIGHT)}v-{HEADER_HEIGHT - _CORNER}'
        f"a{_CORNER} {_CORNER} 0 0 1 {_CORNER}-{_CORNER}h{_number(box.width - 2 * _CORNER)}"
        f'a{_CORNER} {_CORNER} 0 0 1 {_CORNER} {_CORNER}v{HEADER_HEIGHT - _CORNER}z"/>'
    )
    yield _text("title", box.x + 14, box.y + HEADER_HEIGHT / 2 + 5, box.table.name)
    for number, column in enumerate(box.table.columns):
        yield from _row(box, number, column)
    yield "</g>"


def _row(box: Box, number: int, column: Column) -> Iterator[str]:
    top = box.y + HEADER_HEIGHT + ROW_HEIGHT * number
    if number % 2:
        yield (
            f'<rect class="stripe" x="{_number(box.x + 1)}" y="{_number(top)}" width="{_number(box.width - 2)}" '
            f'height="{ROW_HEIGHT}"/>'
        )
    for place, key in enumerate(column.keys):
        left = box.x + 12 + 25 * place
        yield f'<rect class="pill" x="{_number(left)}" y="{_number(top + 4.5)}" width="22" height="13" rx="3"/>'
        yield _text("key", left + 11, top + 14.5, key)
    yield _text("" if column.is_nullable else "must", box.x + 66, top + 15.5, column.name)
    yield _text("type", box.x + box.width - 14, top + 15, column.type + ("?" if column.is_nullable else ""))


def _line(line: Line) -> str:
    """A path along the points, its corners rounded."""
    points = _distinct(line.points)
    path = f"M{_pair(points[0])}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        reach = min(_CORNER, _distance(before, corner) / 2, _distance(corner, after) / 2)
        path += f"L{_pair(_towards(corner, before, reach))}Q{_pair(corner)} {_pair(_towards(corner, after, reach))}"
    path += f"L{_pair(points[-1])}"
    reference = line.reference
    return (
        f'<path class="line" d="{path}"><title>{escape(f"{reference.child}.{reference.column}")} → '
        f"{escape(reference.parent)}</title></path>"
    )


def _ends(line: Line) -> Iterator[str]:
    """Cardinalities: a bar says one, a ring says perhaps none, three toes say many."""
    (x, y), (near_x, _) = line.points[0], line.points[1]
    side = 1 if near_x >= x else -1
    yield f'<path class="line" d="M{_pair((x + side * 8, y - 5))}v10"/>'
    yield (
        f'<circle class="ring" cx="{_number(x + side * 16)}" cy="{_number(y)}" r="3.5"/>'
        if line.reference.is_optional
        else f'<path class="line" d="M{_pair((x + side * 12, y - 5))}v10"/>'
    )
    (x, y), (near_x, _) = line.points[-1], line.points[-2]
    side = 1 if near_x >= x else -1
    if line.reference.is_unique:
        yield f'<path class="line" d="M{_pair((x + side * 8, y - 5))}v10"/>'
    else:
        tip = _pair((x + side * 10, y))
        yield f'<path class="line" d="M{_pair((x, y - 5))}L{tip}L{_pair((x, y + 5))}"/>'
    yield f'<circle class="ring" cx="{_number(x + side * 14)}" cy="{_number(y)}" r="3.5"/>'


def _legend(model: DataModel, height: int) -> Iterator[str]:
    kinds = {
        TableKind.RESOURCE: "a resource",
        TableKind.LINK: "pairs of two",
        TableKind.SERVICE: "what the service needs itself",
    }
    x, y = float(MARGIN), height - 18
    for kind, words in kinds.items():
        if any(table.kind is kind for table in model.tables):
            yield f'<rect class="{kind.value}" x="{_number(x)}" y="{y - 9}" width="10" height="10" rx="2"/>'
            yield _text("legend", x + 16, y, words)
            x += 34 + 6 * len(words)
    yield _text(
        "legend", x, y, "bold: never empty · ?: may be empty · ring: none or more · toes: many · bar: one"
    )


def _text(kind: str, x: float, y: float, words: str) -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text{style} x="{_number(x)}" y="{_number(y)}">{escape(words)}</text>'


def _distinct(points: tuple[tuple[float, float], ...]) -> list[tuple[float, float]]:
    """Without repeated points and without points in the middle of a straight piece."""
    found: list[tuple[float, float]] = []
    for point in points:
        if found and found[-1] == point:
            continue
        while len(found) > 1 and _is_straight(found[-2], found[-1], point):
            found.pop()
        found.append(point)
    return found


def _is_straight(one: tuple[float, float], two: tuple[float, float], three: tuple[float, float]) -> bool:
    return one[0] == two[0] == three[0] or one[1] == two[1] == three[1]


def _distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])


def _towards(corner: tuple[float, float], other: tuple[float, float], reach: float) -> tuple[float, float]:
    distance = _distance(corner, other)
    share = reach / distance if distance else 0.0
    return corner[0] + (other[0] - corner[0]) * share, corner[1] + (other[1] - corner[1]) * share


def _pair(point: tuple[float, float]) -> str:
    return f"{_number(point[0])} {_number(point[1])}"


def _number(value: float) -> str:
    return f"{round(value, 1):g}"
