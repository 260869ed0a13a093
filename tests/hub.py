"""A stand-in for the Hugging Face hub on this machine, as far as huggingface_hub asks it.

It keeps what it is sent in memory: repositories with branches of files, and LFS objects. `faults`
say what goes wrong: part of a path -> a status, "cut" for a connection that breaks off while a body
is sent, "html" for the page of whoever stands between.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN, READER = "hf_may_write", "hf_may_read"
LARGE = (".safetensors", ".zip", ".png")  # what goes by LFS
API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(\w+)(?:/([^/]+))?)?(/.+)?$")
RESOLVE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)$")


@dataclass
class Repository:
    private: bool = False
    branches: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"main": {}})
    commits: list[str] = field(default_factory=list)

    def at(self, revision: str) -> dict[str, bytes] | None:
        """The files of a branch, or of a branch's last commit; None where there is no such."""
        return {**{sha(files): files for files in self.branches.values()}, **self.branches}.get(
            revision
        )


class Hub(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: dict[str, int | str] = {}
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def is_private(self, kind: str, name: str) -> bool:
        found = self.repositories.get((kind, name))
        return found is not None and found.private

    def files(self, name: str, kind: str = "models", branch: str = "main") -> dict[str, bytes]:
        return self.repositories[kind, name].branches[branch]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._handle(b"")

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        self._handle(self._body())

    do_POST = do_PUT

    def _body(self) -> bytes:
        if any(fault == "cut" and part in self.path for part, fault in self.server.faults.items()):
            self.server.requests.append(f"{self.command} {self.path}")
            self.rfile.read(10)
            self.connection.close()
            raise ConnectionAbortedError
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ValueError):
            self.close_connection = True

    def _handle(self, body: bytes) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append(f"{self.command} {path}")
        for part, fault in self.server.faults.items():
            if part in path and fault == "html":
                return self._answer(200, b"<html>")
            if part in path:
                return self._answer(int(fault), {"error": "the hub is not well"})
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if path.startswith("/objects/"):
            self.server.objects[path.rpartition("/")[2]] = body
            return self._answer(200, {})
        if found := RESOLVE.match(path):
            return self._resolve(*found.groups())
        if path == "/api/validate-yaml":
            return self._answer(200, {"warnings": [], "errors": []})
        asks = self.command != "POST" and (found := API.match(path)) is not None
        public = asks and not self.server.is_private(*found.group(1, 2))
        if token not in (TOKEN, READER) and not public:
            return self._answer(401, {"error": "Invalid credentials in Authorization header"})
        if path == "/api/whoami-v2":
            return self._answer(200, {"name": "me", "type": "user"})
        if self.command == "POST" and token == READER:
            return self._answer(403, {"error": "this token may only read"})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        if (found := API.match(path)) is None:
            return self._answer(404, {"error": f"no such path: {path}"})
        kind, name, what, revision, below = found.groups()
        if below:  # a folder: here there are none to be listed
            return self._answer(404, {"error": "none"}, **{"X-Error-Code": "EntryNotFound"})
        repository = self.server.repositories.get((kind, name))
        if repository is None:
            return self._answer(
                404, {"error": "no such repository"}, **{"X-Error-Code": "RepoNotFound"}
            )
        return self._of(repository, kind, name, what, unquote(revision or "main"), body)

    def _create(self, wanted: dict) -> None:
        kind = f"{wanted.get('type', 'model')}s"
        name = f"{wanted['organization']}/{wanted['name']}"
        there = (kind, name) in self.server.repositories
        if not there:
            private = wanted.get("visibility") == "private" or bool(wanted.get("private"))
            self.server.repositories[kind, name] = Repository(private)
        prefix = "datasets/" if kind == "datasets" else ""
        self._answer(409 if there else 200, {"url": f"{self.server.url}/{prefix}{name}"})

    def _batch(self, wanted: dict) -> None:
        def action(oid: str) -> dict:
            if oid in self.server.objects:
                return {"oid": oid}
            return {"oid": oid, "actions": {"upload": {"href": f"{self.server.url}/objects/{oid}"}}}

        objects = [{**action(o["oid"]), "size": o["size"]} for o in wanted["objects"]]
        self._answer(200, {"transfer": "basic", "objects": objects})

    def _of(
        self, repository: Repository, kind: str, name: str, what: str, revision: str, body: bytes
    ) -> None:
        if what == "branch":
            there = revision in repository.branches
            repository.branches.setdefault(revision, dict(repository.branches["main"]))
            return self._answer(409 if there else 201, {})
        if (files := repository.at(revision)) is None:
            return self._answer(404, {"error": "no branch"}, **{"X-Error-Code": "RevisionNotFound"})
        if what in (None, "revision"):
            siblings = [{"rfilename": path} for path in files]
            about = {"id": name, "private": repository.private, "sha": sha(files), "tags": []}
            return self._answer(200, {**about, "siblings": siblings})
        if what == "tree":
            return self._answer(200, [entry(path, content) for path, content in files.items()])
        if what == "preupload":
            asked = [file["path"] for file in json.loads(body)["files"]]
            modes = [
                {
                    "path": path,
                    "uploadMode": "lfs" if path.endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                    "oid": entry(path, files[path])["oid"] if path in files else None,
                }
                for path in asked
            ]
            return self._answer(200, {"files": modes})
        assert what == "commit"
        for line in body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                repository.commits.append(value["summary"])
            elif item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
            elif item["key"] == "deletedFile":
                del files[value["path"]]
        url = f"{self.server.url}/{name}/commit/{sha(files)}"
        return self._answer(200, {"commitUrl": url, "commitOid": sha(files)})

    def _resolve(self, kind: str | None, name: str, revision: str, path: str) -> None:
        repository = self.server.repositories.get(("datasets" if kind else "models", name))
        files = (repository and repository.at(unquote(revision))) or {}
        if (content := files.get(unquote(path))) is None:
            return self._answer(404, {"error": "none"}, **{"X-Error-Code": "EntryNotFound"})
        etag = hashlib.sha256(content).hexdigest()
        headers = {"X-Repo-Commit": sha(files), "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        status = 200
        if wanted := re.match(r"bytes=(\d+)-(\d*)$", self.headers.get("Range", "")):
            first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            status, content = 206, content[first : last + 1]
        return self._answer(status, content, **headers)

    def _answer(self, status: int, content: object, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def sha(files: dict[str, bytes]) -> str:
    """The commit of these files: 40 hexadecimal digits."""
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


def entry(path: str, content: bytes) -> dict:
    """A file as the hub lists it, under the id that git or LFS gives it."""
    if path.endswith(LARGE):
        oid = hashlib.sha256(content).hexdigest()
        lfs = {"oid": oid, "size": len(content), "pointerSize": 134}
        return {"type": "file", "path": path, "size": len(content), "oid": oid, "lfs": lfs}
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return {"type": "file", "path": path, "size": len(content), "oid": oid}
