"""A plot as SVG: how each ratio stands to its goal, on a logarithmic axis. No library is worth this little."""

import math
from collections.abc import Sequence
from html import escape

from bench.figures import Standing, Verdict, number

WIDTH, ROW, LEFT, RIGHT, TOP = 960, 26, 470, 110, 46
COLOURS = {Standing.MET: "#2a7f4f", Standing.SHORT: "#c0392b", Standing.UNKNOWN: "#888888"}
DECADES = 1.5
"""How far the axis goes to either side of the goal, in powers of ten."""


def drawing(verdicts: Sequence[Verdict]) -> str:
    """One bar a goal: to the right of the line is better than the goal."""
    known = [verdict for verdict in verdicts if verdict.found is not None]
    height = TOP + ROW * len(known) + 30
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" fill="#555555">worse than the goal</text>',
        f'<text x="{WIDTH - RIGHT}" y="20" text-anchor="end" fill="#555555">better</text>',
    ]
    for times in (1 / 10, 1 / 3, 1, 3, 10):
        x = place(times)
        label = number(times) if times >= 1 else f"1/{number(1 / times)}"
        shade = "#333333" if times == 1 else "#dddddd"
        parts.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 24}" stroke="{shade}"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{height - 8}" text-anchor="middle" fill="#555555">{label} ×</text>'
        )
    for index, verdict in enumerate(known):
        parts += _bar(verdict, TOP + index * ROW, middle)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(verdict: Verdict, y: float, middle: float) -> list[str]:
    end = place(lead(verdict))
    x, width = min(middle, end), max(abs(end - middle), 1.5)
    return [
        f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end" fill="#222222">{escape(verdict.goal.title)}</text>',
        f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="{ROW - 10}" fill="{COLOURS[verdict.standing]}"/>',
        f'<text x="{WIDTH - RIGHT + 8}" y="{y + 14}" fill="#222222">{number(verdict.found or 0)} '
        f"{escape(verdict.goal.unit)}</text>",
    ]


def lead(verdict: Verdict) -> float:
    """How many times better than its goal; below 1 it is short of it."""
    found = max(verdict.found or 0, 1e-9)
    return found / verdict.goal.bound if verdict.goal.at == "least" else verdict.goal.bound / found


def place(times: float) -> float:
    """Where on the axis; what lies beyond its ends is drawn at them."""
    part = max(-1.0, min(1.0, math.log10(max(times, 1e-9)) / DECADES))
    span = (WIDTH - LEFT - RIGHT) / 2
    return LEFT + span * (1 + part)
