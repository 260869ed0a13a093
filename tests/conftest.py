"""What tests of several rooms share."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; the server's `fault` is what goes wrong with paths that end in `broken`."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.requests.append(self.path)
        if not (self.server.broken and self.path.endswith(self.server.broken)):
            return super().do_GET()
        content = Path(self.translate_path(self.path)).read_bytes()
        getattr(self, self.server.fault)(content)

    def cut(self, content):
        """The connection breaks off half way, and the client was told how much would come."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])

    def short(self, content):
        """Half of it, and no word of how much there was."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])

    def endless(self, content):
        """Bytes for as long as anybody listens."""
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(2**16))
        except OSError:
            pass

    def refused(self, content):
        self.send_error(503)


@pytest.fixture
def serve():
    """serve(folder) -> (URL, server): a folder over HTTP on the loopback interface."""
    servers = []

    def start(folder):
        handler = functools.partial(Handler, directory=str(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.broken, server.fault, server.requests = "", "", []
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}", server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
