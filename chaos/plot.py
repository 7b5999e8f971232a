"""The run over time as a drawing (SVG): tasks that ended, kills and other faults, takeovers. No library is needed."""

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape

from chaos.results import Result

WIDTH, LEFT, RIGHT = 1000, 60, 20
PANEL, GAP, TOP = 150, 46, 50
BAR_COLOR, KILL_COLOR, FAULT_COLOR, TAKEOVER_COLOR = "#4878a8", "#b03a2e", "#d9a441", "#3b7d4f"
LANES = ("server killed", "disk full", "network", "stop and go on", "clock jump", "restart", "messages")
"""The rows in which faults are drawn; a kind belongs to the row whose name it begins with."""


def draw(result: Result) -> str:
    """The whole drawing."""
    seconds = max(1.0, result.rested_at - result.began_at)
    ended = per_second([one.ended_at for one in result.seen if one.ends], result.began_at, seconds)
    kills = per_second([kill.at for kill in result.kills], result.began_at, seconds)
    takeovers = [(one.at - result.began_at, one.seconds) for one in result.takeovers]
    highest = max((value for _, value in takeovers), default=1.0)
    lanes_height = 16 * (len(LANES) + 1)
    tops = [TOP, TOP + PANEL + GAP, TOP + PANEL + 2 * GAP + lanes_height]
    height = tops[2] + PANEL + GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif"'
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(LEFT, 22, result.title, size=15),
        *_bars(ended, seconds, tops[0], "tasks seen to end, each second"),
        *_lanes(result, kills, seconds, tops[1]),
        *_dots(takeovers, highest, seconds, tops[2], "seconds from a kill to the task's next start"),
        *_times(seconds, tops[2] + PANEL),
    ]
    calm = _x(result.calm_at - result.began_at, seconds)
    parts.append(
        f'<line x1="{calm:.1f}" x2="{calm:.1f}" y1="{TOP - 8}" y2="{tops[2] + PANEL}" stroke="#777"'
        ' stroke-dasharray="4 3"><title>no more faults</title></line>'
    )
    return "\n".join([*parts, "</svg>", ""])


def per_second(times: Iterable[float], began_at: float, seconds: float) -> list[int]:
    """How many fall into each second of the run."""
    count = Counter(int(one - began_at) for one in times)
    return [count[second] for second in range(int(seconds) + 1)]


def _x(second: float, seconds: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(max(second, 0.0), seconds) / seconds


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'


def _axis(top: float, highest: float, title: str) -> list[str]:
    return [
        _text(LEFT, top - 8, title),
        _text(LEFT - 6, top + 10, f"{highest:g}", anchor="end"),
        _text(LEFT - 6, top + PANEL, "0", anchor="end"),
        f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{top + PANEL}" y2="{top + PANEL}" stroke="#444"/>',
        f'<line x1="{LEFT}" x2="{LEFT}" y1="{top}" y2="{top + PANEL}" stroke="#444"/>',
    ]


def _bars(values: Sequence[int], seconds: float, top: float, title: str) -> list[str]:
    highest = max(1, *values)
    wide = max(1.0, (WIDTH - LEFT - RIGHT) / seconds - 0.5)
    bars = [
        f'<rect x="{_x(second, seconds):.1f}" y="{top + PANEL - PANEL * value / highest:.1f}" width="{wide:.1f}"'
        f' height="{PANEL * value / highest:.1f}" fill="{BAR_COLOR}"/>'
        for second, value in enumerate(values)
        if value
    ]
    return [*_axis(top, highest, title), *bars]


def _lanes(result: Result, kills: Sequence[int], seconds: float, top: float) -> list[str]:
    """One row of marks for each kind of fault; kills, which are many, are darker where there were more."""
    parts = [_text(LEFT, top - 8, "kills (the darker, the more in that second) and other faults")]
    most = max(1, *kills)
    wide = max(1.0, (WIDTH - LEFT - RIGHT) / seconds)
    parts += [
        f'<rect x="{_x(second, seconds):.1f}" y="{top}" width="{wide:.1f}" height="12" fill="{KILL_COLOR}"'
        f' fill-opacity="{value / most:.2f}"/>'
        for second, value in enumerate(kills)
        if value
    ]
    for row, name in enumerate(LANES, 1):
        parts.append(_text(LEFT - 6, top + 16 * row + 10, name.split()[0], size=10, anchor="end"))
        for fault in result.faults:
            if fault.kind.startswith(name):
                start = _x(fault.at - result.began_at, seconds)
                length = max(2.0, _x(fault.until - result.began_at, seconds) - start)
                parts.append(
                    f'<rect x="{start:.1f}" y="{top + 16 * row}" width="{length:.1f}" height="12"'
                    f' fill="{FAULT_COLOR}"><title>{escape(f"{fault.kind}: {fault.target}")}</title></rect>'
                )
    return [*parts, _text(LEFT - 6, top + 10, "kills", size=10, anchor="end")]


def _dots(
    points: Sequence[tuple[float, float]], highest: float, seconds: float, top: float, title: str
) -> list[str]:
    dots = [
        f'<circle cx="{_x(second, seconds):.1f}" cy="{top + PANEL - PANEL * max(0.0, value) / highest:.1f}" r="2.2"'
        f' fill="{TAKEOVER_COLOR}" fill-opacity="0.7"/>'
        for second, value in points
    ]
    return [*_axis(top, round(highest, 1), title), *dots]


def _times(seconds: float, y: float) -> list[str]:
    step = next((one for one in (5, 10, 30, 60, 120, 300) if seconds / one <= 12), 600)
    marks = range(0, int(seconds) + 1, step)
    return [_text(_x(mark, seconds), y + 18, f"{mark} s", anchor="middle") for mark in marks]
