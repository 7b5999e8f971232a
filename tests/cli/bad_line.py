"""A way to a service on which every connection breaks after some bytes, as networks do."""

import random
import select
import socket
import socketserver
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

RESET_AT_CLOSE = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class BadLine:
    """Where it is entered, and how often it broke while something was still to come."""

    url: str
    breaks: int = 0


@contextmanager
def a_bad_line(to: str, *, most_bytes: int, seed: int) -> Generator[BadLine]:
    """Each connection carries a random number of bytes back to the client, at most `most_bytes`."""
    place, chance = urlsplit(to), random.Random(seed)  # noqa: S311 - chance that can be repeated, no secret
    line = BadLine("")

    class Carrier(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            here: socket.socket = self.request
            left = chance.randint(1, most_bytes)
            with socket.create_connection((str(place.hostname), place.port or 80)) as there:
                while left > 0:
                    for ready in select.select([here, there], [], [])[0]:
                        try:
                            data = ready.recv(left if ready is there else 65536)
                            (here if ready is there else there).sendall(data)
                        except OSError:
                            return
                        if not data:
                            return
                        left -= len(data) if ready is there else 0
            line.breaks += 1
            here.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            here.close()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Carrier) as server:
        line.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield line
        finally:
            server.shutdown()
            thread.join()
