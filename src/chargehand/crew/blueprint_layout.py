"""Places the tables of a data model for drawing: parents to the left of children, lines in lanes between them.

The steps are those of layered graph drawing: layers by longest path, bend points where a line passes a layer, an
order with few crossings, then coordinates. Rule: the same model gives the same picture, and no line crosses a box.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from chargehand.crew.blueprint_data_model import DataModel, Reference, Table

HEADER_HEIGHT = 34
ROW_HEIGHT = 22
MARGIN = 28
_BOX_PADDING_BOTTOM = 6
_NAME_CHARACTER = 7.3
_TYPE_CHARACTER = 6.7
_KEYS_WIDTH = 58
_VERTICAL_GAP = 34
_LANE_HEIGHT = 14
_GAP_WIDTH = 56
_TRACK_WIDTH = 14
_PORT_OFFSET = 5
_SWEEPS = 6
_MIN_PAGE_WIDTH = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A table's place."""

    table: Table
    x: float
    y: float
    width: float
    height: float

    def row_middle(self, column: str) -> float:
        return self.y + HEADER_HEIGHT + ROW_HEIGHT * (self.table.position_of[column] + 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A reference's way, from the parent's edge to the child's, by horizontal and vertical pieces."""

    reference: Reference
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The whole picture."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class _Bend:
    """Where a reference passes a layer without stopping there."""

    reference: Reference
    layer: int


_Node = Table | _Bend


def laid_out(model: DataModel) -> Layout:
    """Boxes and lines of the whole model; tables without references stand in rows below."""
    related = {name for each in model.references for name in (each.child, each.parent)}
    graph = _Graph(model, [each for each in model.tables if each.name in related])
    boxes, lines = graph.placed()
    width = max([_MIN_PAGE_WIDTH - 2 * MARGIN, *(box.x + box.width for box in boxes.values())])
    bottom = max([MARGIN - _VERTICAL_GAP, *(box.y + box.height for box in boxes.values())])
    alone = _rows([each for each in model.tables if each.name not in related], width, bottom + _VERTICAL_GAP)
    everything = [*boxes.values(), *alone]
    right = max((box.x + box.width for box in everything), default=0)
    bottom = max((box.y + box.height for box in everything), default=0)
    return Layout(width=right + MARGIN, height=bottom + MARGIN, boxes=tuple(everything), lines=tuple(lines))


def box_size(table: Table) -> tuple[float, float]:
    """Width and height that hold every row."""
    rows = [
        len(each.name) * _NAME_CHARACTER + (len(each.type) + 2) * _TYPE_CHARACTER for each in table.columns
    ]
    width = max([len(table.name) * 8.5, *(row + _KEYS_WIDTH for row in rows)]) + 34
    return round(width), HEADER_HEIGHT + ROW_HEIGHT * len(table.columns) + _BOX_PADDING_BOTTOM


def _rows(tables: Sequence[Table], width: float, top: float) -> list[Box]:
    """Tables side by side, in as many rows as the width needs."""
    boxes: list[Box] = []
    x, y, row_height = float(MARGIN), top, 0.0
    for table in tables:
        box_width, height = box_size(table)
        if x > MARGIN and x + box_width > width:
            x, y, row_height = float(MARGIN), y + row_height + _VERTICAL_GAP, 0.0
        boxes.append(Box(table=table, x=x, y=y, width=box_width, height=height))
        x, row_height = x + box_width + _VERTICAL_GAP, max(row_height, height)
    return boxes


class _Graph:
    """The tables that refer to each other, in layers."""

    def __init__(self, model: DataModel, tables: Sequence[Table]) -> None:
        self.tables = {each.name: each for each in tables}
        self.references = [each for each in model.references if each.child != each.parent]
        self.loops = [each for each in model.references if each.child == each.parent]
        self.layer_of = self._layers()
        self.layers: list[list[_Node]] = [[] for _ in range(max(self.layer_of.values(), default=-1) + 1)]
        for table in tables:
            self.layers[self.layer_of[table.name]].append(table)
        self.ways = {each: self._way(each) for each in self.references}
        self._reduce_crossings()

    def _layers(self) -> dict[str, int]:
        """Longest path from a table without parents; `tables` has parents first, so that one pass is enough."""
        layer_of: dict[str, int] = {}
        for name in self.tables:
            parents = [layer_of[each.parent] for each in self.references if each.child == name]
            layer_of[name] = max(parents, default=-1) + 1
        for name in reversed(self.tables):
            # A table without parents moves next to its nearest child: shorter lines.
            children = [layer_of[each.child] for each in self.references if each.parent == name]
            if children and not any(each.child == name for each in self.references):
                layer_of[name] = min(children) - 1
        return layer_of

    def _way(self, reference: Reference) -> list[_Node]:
        """Parent, a bend in each layer between, child."""
        first, last = self.layer_of[reference.parent], self.layer_of[reference.child]
        bends = [_Bend(reference, layer) for layer in range(first + 1, last)]
        for bend in bends:
            self.layers[bend.layer].append(bend)
        return [self.tables[reference.parent], *bends, self.tables[reference.child]]

    def _reduce_crossings(self) -> None:
        """Sort each layer by where its neighbours stand, left to right and back."""
        for sweep in range(_SWEEPS):
            layers = self.layers if sweep % 2 == 0 else self.layers[::-1]
            for layer in layers:
                self._sort(layer, looks_left=sweep % 2 == 0)

    def _sort(self, layer: list[_Node], *, looks_left: bool) -> None:
        place = {node: float(index) for each in self.layers for index, node in enumerate(each)}
        wanted: defaultdict[_Node, list[float]] = defaultdict(list)
        for reference, way in self.ways.items():
            for one, other in pairwise(way):
                if looks_left:
                    wanted[other].append(place[one])
                else:
                    # The row at which the line arrives orders those who lead to the same table.
                    row = (
                        other.position_of[reference.column] / len(other.columns)
                        if isinstance(other, Table)
                        else 0
                    )
                    wanted[one].append(place[other] + row)
        layer.sort(key=lambda node: fmean(wanted[node]) if wanted[node] else place[node])

    def _neighbours(self) -> tuple[Mapping[_Node, list[_Node]], Mapping[_Node, list[_Node]]]:
        left: defaultdict[_Node, list[_Node]] = defaultdict(list)
        right: defaultdict[_Node, list[_Node]] = defaultdict(list)
        for way in self.ways.values():
            for one, other in pairwise(way):
                left[other].append(one)
                right[one].append(other)
        return left, right

    def placed(self) -> tuple[dict[str, Box], list[Line]]:
        tops = self._tops()
        boxes: dict[str, Box] = {}
        lanes: dict[_Bend, float] = {node: tops[node] for node in tops if isinstance(node, _Bend)}
        hops: dict[Reference, list[tuple[float, float]]] = {each: [] for each in self.references}
        x = float(MARGIN)
        for number, layer in enumerate(self.layers):
            widths = [box_size(node)[0] for node in layer if isinstance(node, Table)]
            width = max(widths, default=0)
            for node in layer:
                if isinstance(node, Table):
                    boxes[node.name] = Box(
                        table=node, x=x, y=tops[node], width=width, height=box_size(node)[1]
                    )
            x += width
            if number + 1 < len(self.layers):
                x = self._route(number, x, boxes, tops, lanes, hops)
        lines = [Line(reference=each, points=tuple(hops[each])) for each in self.references]
        loops = [_loop(each, boxes[each.parent], index) for index, each in enumerate(self.loops)]
        return boxes, lines + loops

    def _tops(self) -> dict[_Node, float]:
        """Stack each layer, then pull its nodes towards their neighbours as far as the stack allows."""
        tops: dict[_Node, float] = {}
        for layer in self.layers:
            y = float(MARGIN)
            for node in layer:
                tops[node] = y
                y += _height(node) + _VERTICAL_GAP
        left, right = self._neighbours()
        for sweep in range(_SWEEPS):
            near, layers = (left, self.layers) if sweep % 2 == 0 else (right, self.layers[::-1])
            for layer in layers:
                self._pull(layer, near, tops)
        lowest = min(tops.values(), default=0.0)
        return {node: round(top - lowest + MARGIN) for node, top in tops.items()}

    def _pull(
        self, layer: Sequence[_Node], near: Mapping[_Node, list[_Node]], tops: dict[_Node, float]
    ) -> None:
        wanted = {
            node: fmean([tops[each] + _height(each) / 2 for each in near[node]]) - _height(node) / 2
            if near[node]
            else tops[node]
            for node in layer
        }
        floor = float("-inf")
        shift: list[float] = []
        for node in layer:
            tops[node] = max(wanted[node], floor)
            floor = tops[node] + _height(node) + _VERTICAL_GAP
            shift.append(wanted[node] - tops[node])
        for node in layer:
            # What was pushed down by those above moves up together with them: half way for each side.
            tops[node] += fmean(shift)

    def _route(
        self,
        number: int,
        left: float,
        boxes: Mapping[str, Box],
        tops: Mapping[_Node, float],
        lanes: Mapping[_Bend, float],
        hops: dict[Reference, list[tuple[float, float]]],
    ) -> float:
        """Lead the lines through the gap behind a layer; where the next layer begins."""
        pieces: list[tuple[Reference, float, float]] = []
        for reference, way in self.ways.items():
            step = number - self.layer_of[reference.parent]
            if 0 <= step < len(way) - 1:
                start = _exit(reference, way[step], tops)
                pieces.append((reference, start, _entry(reference, way[step + 1], tops)))
        tracks = _tracks(pieces)
        width = _GAP_WIDTH + _TRACK_WIDTH * max(0, len(set(tracks.values())) - 1)
        for reference, start, end in pieces:
            x = left + _GAP_WIDTH / 2 + _TRACK_WIDTH * tracks[reference]
            parent = boxes.get(reference.parent)
            first = parent.x + parent.width if parent and not hops[reference] else left
            hops[reference] += [(first, start), (x, start), (x, end), (left + width, end)]
        return left + width


def _height(node: _Node) -> float:
    return box_size(node)[1] if isinstance(node, Table) else _LANE_HEIGHT


def _exit(reference: Reference, node: _Node, tops: Mapping[_Node, float]) -> float:
    """Where a line leaves: at the parent's key, above it when the reference may be empty, or along its lane."""
    if isinstance(node, _Bend):
        return tops[node] + _LANE_HEIGHT / 2
    middle = tops[node] + HEADER_HEIGHT + ROW_HEIGHT * (node.position_of.get("id", 0) + 0.5)
    return middle + (-_PORT_OFFSET if reference.is_optional else _PORT_OFFSET)


def _entry(reference: Reference, node: _Node, tops: Mapping[_Node, float]) -> float:
    if isinstance(node, _Bend):
        return tops[node] + _LANE_HEIGHT / 2
    return tops[node] + HEADER_HEIGHT + ROW_HEIGHT * (node.position_of[reference.column] + 0.5)


def _tracks(pieces: Sequence[tuple[Reference, float, float]]) -> dict[Reference, int]:
    """A vertical track for each start, in an order with few crossings; lines from one port share theirs."""
    starts = sorted({(start, reference.parent) for reference, start, _ in pieces})
    order = list(starts)

    def crossings(candidate: Sequence[tuple[float, str]]) -> int:
        place = {key: index for index, key in enumerate(candidate)}
        count = 0
        for one, start, end in pieces:
            for other, other_start, other_end in pieces:
                near, far = place[start, one.parent], place[other_start, other.parent]
                if near < far:
                    # The nearer line's end piece passes the farther track; the farther one's start the nearer track.
                    count += min(other_start, other_end) < end < max(other_start, other_end)
                    count += min(start, end) < other_start < max(start, end)
        return count

    improved = True
    while improved:
        improved = False
        for index in range(len(order) - 1):
            swapped = [*order[:index], order[index + 1], order[index], *order[index + 2 :]]
            if crossings(swapped) < crossings(order):
                order, improved = swapped, True
    return {reference: order.index((start, reference.parent)) for reference, start, _ in pieces}


def _loop(reference: Reference, box: Box, number: int) -> Line:
    """A reference of a table to itself, around its left edge, where no other line leaves."""
    x = box.x - 24 + 5 * (number % 2)
    start = box.row_middle("id") + (-_PORT_OFFSET if reference.is_optional else _PORT_OFFSET)
    end = box.row_middle(reference.column)
    return Line(reference=reference, points=((box.x, start), (x, start), (x, end), (box.x, end)))
