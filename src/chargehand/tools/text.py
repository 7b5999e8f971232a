"""Text as agents see it: line ends are newlines, and what a file had before comes back when it is written.

Rule: what cannot be shown and written back unchanged is refused for editing, with the way to handle it.
"""

import codecs
from dataclasses import dataclass

from chargehand.errors import ToolError
from chargehand.tools.edits import Replacement
from chargehand.tools.paths import LogicalPath, shown

_IMAGE = "its size and kind can be had with Bash (file, identify)"
_NOT_TEXT = (
    (b"\x89PNG\r\n", ("a PNG image", _IMAGE)),
    (b"\xff\xd8\xff", ("a JPEG image", _IMAGE)),
    (b"GIF87a", ("a GIF image", _IMAGE)),
    (b"GIF89a", ("a GIF image", _IMAGE)),
    (b"%PDF-", ("a PDF document", "get its text with Bash (pdftotext)")),
)
"""What starts so is no text, even where it holds no NUL."""

_WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A decoded file. `is_exact` tells whether writing it back gives the same bytes."""

    text: str
    newline: str
    has_mark: bool
    is_exact: bool

    def encode(self, text: str) -> bytes:
        """The bytes of `text` in the manner of this file: its line ends, its byte order mark."""
        mark = codecs.BOM_UTF8 if self.has_mark else b""
        return mark + text.replace("\n", self.newline).encode()

    def fitted(self, replacement: Replacement) -> Replacement:
        """The replacement with line ends as `text` has them: agents cannot see which ones the file has."""
        if self.newline == "\n":
            return replacement
        old, new = replacement.old.replace("\r\n", "\n"), replacement.new.replace("\r\n", "\n")
        return Replacement(old=old, new=new, everywhere=replacement.everywhere)


def decode(data: bytes, path: LogicalPath) -> Text:
    """Decode a file for reading; bytes that are no UTF-8 become U+FFFD. ToolError when it is no text."""
    if data.startswith(_WIDE_MARKS):
        raise ToolError(f"{shown(path)} is UTF-16 text; convert it first: iconv -f UTF-16 -t UTF-8 in Bash")
    kind = next((kind for start, kind in _NOT_TEXT if data.startswith(start)), None)
    if kind is not None:
        raise ToolError(
            f"{shown(path)} is {kind[0]} of {len(data):,} bytes, which is not shown here; {kind[1]}"
        )
    if b"\x00" in data:
        raise ToolError(
            f"{shown(path)} is a binary file of {len(data):,} bytes; look at it with Bash (file, xxd)"
        )
    has_mark = data.startswith(codecs.BOM_UTF8)
    raw = data.removeprefix(codecs.BOM_UTF8)
    try:
        text, is_utf8 = raw.decode(), True
    except UnicodeDecodeError:
        text, is_utf8 = raw.decode(errors="replace"), False
    # Only where every line ends in CR LF: in a mixed file each end is part of the text that an edit names.
    newline = "\r\n" if "\r\n" in text and text.count("\r\n") == text.count("\n") else "\n"
    plain = text.replace("\r\n", "\n") if newline == "\r\n" else text
    return Text(text=plain, newline=newline, has_mark=has_mark, is_exact=is_utf8)


def decode_exact(data: bytes, path: LogicalPath) -> Text:
    """As `decode`, for what will be written back."""
    text = decode(data, path)
    if not text.is_exact:
        raise ToolError(
            f"{shown(path)} is not UTF-8, so an edit would damage it; convert it first with iconv in Bash"
        )
    return text


def lines_of(text: str) -> list[str]:
    """The lines without their ends. Only a newline ends a line; a last newline begins no further one."""
    if not text:
        return []
    return text.removesuffix("\n").split("\n")


def numbered(lines: list[str], *, first: int, max_line_characters: int) -> str:
    """Lines with their numbers before a tab, as `cat -n` prints them; overlong lines are cut and say so."""
    return "\n".join(
        f"{number:6}\t{_cut(line.removesuffix(chr(13)), max_line_characters)}"
        for number, line in enumerate(lines, start=first)
    )


def _cut(line: str, max_characters: int) -> str:
    if len(line) <= max_characters:
        return line
    return f"{line[:max_characters]} [cut: {len(line) - max_characters:,} more characters]"
