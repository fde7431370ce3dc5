"""A web server with moods, for downloads."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves bytes by path and remembers what it was asked.

    Attributes:
        files: Contents by path, e.g. ``/a.onnx``.
        ranges: Answer ranges with parts.
        etag: Sent with each answer and compared with If-Range; "" sends none.
        breaks: How many bytes the next answers give before they break off, in order.
        answers: Status codes instead of the file, by path.
        content_type: Of all answers.
        on_half: Called in each answer when half of it has been sent.
        asked: (path, Range, If-Range) of each request.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ranges = True
        self.etag = '"1"'
        self.breaks: list[int] = []
        self.answers: dict[str, int] = {}
        self.content_type = "application/octet-stream"
        self.on_half: Callable[[], None] = lambda: None
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.address = ""

    def url(self, name: str) -> str:
        """The address of a file."""
        return f"{self.address}/{name}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a GET."""
        asked_range, condition = request.headers.get("Range"), request.headers.get("If-Range")
        self.asked.append((request.path, asked_range, condition))
        status = self.answers.get(request.path, 404 if request.path not in self.files else 200)
        if status != 200:
            request.send_error(status)
            return
        content, start = self.files[request.path], 0
        match = re.match(r"bytes=(\d+)-", asked_range or "")
        if match and self.ranges and condition in (None, self.etag):
            start = int(match[1])
            if start >= len(content):
                request.send_response(416)
                request.send_header("Content-Range", f"bytes */{len(content)}")
                request.send_header("Content-Length", "0")
                request.end_headers()
                return
            request.send_response(206)
            last = len(content) - 1
            request.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        else:
            request.send_response(200)
        body = content[start:]
        request.send_header("Content-Type", self.content_type)
        request.send_header("Content-Length", str(len(body)))
        if self.etag:
            request.send_header("ETag", self.etag)
        request.end_headers()
        body = body[: self.breaks.pop(0)] if self.breaks else body
        request.wfile.write(body[: len(body) // 2])
        request.wfile.flush()
        self.on_half()
        request.wfile.write(body[len(body) // 2 :])


@contextmanager
def running_file_server() -> Iterator[FileServer]:
    """Serve on a free port of this machine."""
    files = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            files.answer(self)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        files.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="file server")
        thread.start()
        try:
            yield files
        finally:
            server.shutdown()
            thread.join()
