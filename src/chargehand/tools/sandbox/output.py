"""Keeps the first bytes of a stream, counts the rest, and cuts it into lines for who wants them."""


class Capture:
    """What one stream wrote, up to a cap. All of it is read: a full pipe would stall it."""

    def __init__(self, cap_bytes: int) -> None:
        self._cap_bytes = cap_bytes
        self._kept = bytearray()
        self.dropped_bytes = 0

    def feed(self, chunk: bytes) -> None:
        room = self._cap_bytes - len(self._kept)
        self._kept += chunk[:room] if room > 0 else b""
        self.dropped_bytes += max(0, len(chunk) - max(0, room))

    @property
    def kept(self) -> bytes:
        return bytes(self._kept)


class LineCutter:
    """Cuts chunks into lines. Of a line longer than the cap only its beginning is handed on."""

    def __init__(self, cap_bytes: int) -> None:
        self._cap_bytes = cap_bytes
        self._line = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        lines: list[bytes] = []
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            self._append(part)
            lines.append(bytes(self._line) + b"\n")
            self._line.clear()
        self._append(rest)
        return lines

    def rest(self) -> bytes:
        """The last line, which ended without a newline; empty when there is none."""
        return bytes(self._line)

    def _append(self, part: bytes) -> None:
        self._line += part[: max(0, self._cap_bytes - len(self._line))]
