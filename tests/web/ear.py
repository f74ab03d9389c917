"""A server that hears what it is sent, for notifications."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread


@contextmanager
def ear() -> Iterator[tuple[int, Queue[bytes]]]:
    """Its port on loopback, and the bodies that were posted there."""
    told: Queue[bytes] = Queue()

    class Listening(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.put(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the library
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Listening)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], told
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
