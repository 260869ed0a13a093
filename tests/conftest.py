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

    def silent(self, content):
        """Half of it comes, and then nothing more, for as long as anybody waits."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.server.ended.wait(60)

    def stutter(self, content):
        """Each answer breaks off after 10 bytes, and the next one goes on from there."""
        first = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first : first + 10] if first < 20 else content[first:])
        self.server.ended.wait(0.1)  # until the client has taken what there is

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


# Attacks: tests marked `attack(group)` are counted by group, and the counts printed as a table.


@pytest.fixture(autouse=True)
def _attack(request, record_property):
    marker = request.node.get_closest_marker("attack")
    if marker is not None:
        record_property("attack", marker.args[0])


@pytest.fixture
def tries(record_property):
    """tries(n): this test makes n tries of its attack, not one."""
    return lambda count: record_property("tries", count)


def pytest_terminal_summary(terminalreporter):
    table: dict[str, list[int]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            said = dict(getattr(report, "user_properties", ()))
            if "attack" in said and (report.when == "call" or outcome == "error"):
                row = table.setdefault(said["attack"], [0, 0])
                row[0] += said.get("tries", 1)
                row[1] += outcome != "passed"
    if table:
        lines = [f"| {group} | {tries} | {bad} |" for group, (tries, bad) in sorted(table.items())]
        total = [sum(column) for column in zip(*table.values(), strict=True)]
        lines += ["| **all** | **{}** | **{}** |".format(*total)]
        terminalreporter.write_line("\n| attacks | tries | failures |\n|---|---:|---:|")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture
def serve():
    """serve(folder) -> (URL, server): a folder over HTTP on the loopback interface."""
    servers = []

    def start(folder):
        handler = functools.partial(Handler, directory=str(folder))
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        server.broken, server.fault, server.requests = "", "", []
        server.ended = threading.Event()
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}", server

    yield start
    for server in servers:
        server.ended.set()
        server.shutdown()
        server.server_close()
