"""The text of an HTML page, as an agent reads it: headings, lists, links, no markup.

Rule: one pass, in time that grows with the page and no faster, whatever the page holds. The standard library's
parser needs minutes for a megabyte of `<a `.
"""

import html
import re
from urllib.parse import urljoin

_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9-]{0,20})")
_TAG_END = re.compile(r"""(?:[^>"']|"[^"]*"|'[^']*')*+>""")
_HREF = re.compile(
    r"""\shref\s{0,9}=\s{0,9}(?:"([^"]{1,1000})"|'([^']{1,1000})'|([^\s"'>]{1,1000}))""", re.IGNORECASE
)
_MAX_TAG_CHARACTERS = 20_000
_MAX_BROKEN_TAGS = 50

_UNSEEN = {
    name: re.compile(f"</{name}", re.IGNORECASE)
    for name in ("script", "style", "template", "svg", "noscript", "iframe", "object")
}
_BLOCKS = frozenset([
    "p", "div", "section", "article", "header", "footer", "main", "aside", "nav", "ul", "ol", "table", "tr", "pre",
    "blockquote", "form", "dl", "dt", "dd", "figure", "title", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "li",
])  # fmt: skip
_SPACES = re.compile(r"[ \t\r\f\v]*\n[ \t\r\n\f\v]*|[ \t\r\f\v]+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def text_of_html(page: str, base_url: str) -> str:
    """The page's text; links have their full address behind them in brackets."""
    reading = _Reading(base_url)
    position, broken = 0, 0
    while position < len(page):
        start = page.find("<", position)
        if start < 0:
            break
        reading.text(page[position:start])
        if page.startswith("<!--", start):
            end = page.find("-->", start + 4)
            position = end + 3
            if end < 0:
                return reading.finished()
            continue
        tag = _TAG.match(page, start)
        if tag is None and page[start + 1 : start + 2] not in {"!", "?", "/"}:
            reading.text("<")
            position = start + 1
            continue
        found = (
            _TAG_END.match(page, start, start + _MAX_TAG_CHARACTERS) if broken < _MAX_BROKEN_TAGS else None
        )
        broken += found is None
        end = found.end() if found is not None else page.find(">", start) + 1
        if end == 0:
            return reading.finished()
        position = end
        if tag is not None:
            position = _after_tag(page, tag, start, end, reading)
            if position < 0:
                return reading.finished()
    reading.text(page[position:])
    return reading.finished()


def _after_tag(page: str, tag: re.Match[str], start: int, end: int, reading: "_Reading") -> int:
    """Take note of a tag; where reading goes on, -1 when its unseen content never ends."""
    name, is_end = tag[1].lower(), page[start + 1] == "/"
    if not is_end and (closing := _UNSEEN.get(name)) is not None:
        found = closing.search(page, end)
        return found.start() if found is not None else -1
    reading.tag(name, page[start : min(end, start + _MAX_TAG_CHARACTERS)], is_end=is_end)
    return end


class _Reading:
    """The text so far."""

    def __init__(self, base_url: str) -> None:
        self._parts: list[str] = []
        self._base_url = base_url
        self._link: str | None = None
        self._is_exact = 0

    def text(self, text: str) -> None:
        if text:
            plain = html.unescape(text)
            self._parts.append(plain if self._is_exact else _SPACES.sub(" ", plain))

    def tag(self, name: str, written: str, *, is_end: bool) -> None:
        if name == "pre":
            self._is_exact = max(0, self._is_exact + (-1 if is_end else 1))
        if name == "a":
            self._anchor(written, is_end=is_end)
        elif name in _BLOCKS:
            self._parts.append("\n" if name in ("br", "li", "tr", "dt", "dd") else "\n\n")
            if not is_end and name == "li":
                self._parts.append("- ")
            elif not is_end and name[0] == "h" and name[1:].isdecimal():
                self._parts.append("#" * int(name[1]) + " ")
        elif name in ("td", "th") and is_end:
            self._parts.append(" | ")

    def _anchor(self, written: str, *, is_end: bool) -> None:
        if is_end:
            if self._link:
                self._parts.append(f" ({self._link})")
            self._link = None
            return
        found = _HREF.search(written)
        target = html.unescape(found[1] or found[2] or found[3]) if found else "#"
        try:
            link = "" if target.startswith("#") else urljoin(self._base_url, target.strip())
        except ValueError:
            link = ""
        self._link = link if link.startswith(("http://", "https://")) else None

    def finished(self) -> str:
        lines = (line.rstrip() for line in "".join(self._parts).split("\n"))
        return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()
