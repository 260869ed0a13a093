"""onnxruntime-web, taken from a tarball, a folder, or npm; here a few bytes in its place."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile

import pytest

from goodsam.data.errors import InputError
from goodsam.stages.export import browser_runtime
from goodsam.stages.export.browser_runtime import SHA512, BrowserRuntime

CONTENTS = dict(zip(SHA512, (b"script", b"module", b"wasm"), strict=True))
EXPECTED = BrowserRuntime(b"script", b"module", b"wasm")


@pytest.fixture
def pinned(monkeypatch):
    """The bytes above are those that are asked for."""
    sums = {
        name: base64.b64encode(hashlib.sha512(content).digest()).decode()
        for name, content in CONTENTS.items()
    }
    monkeypatch.setattr(browser_runtime, "SHA512", sums)


def tarball(path, contents=CONTENTS):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def folder(path, contents=CONTENTS):
    (path / "dist").mkdir(parents=True)
    for name, content in contents.items():
        (path / "dist" / name).write_bytes(content)
    return path


@pytest.mark.usefixtures("pinned")
def test_tarball_folder_and_dist_are_alike(tmp_path):
    package = folder(tmp_path / "package")
    for source in (tarball(tmp_path / "a.tgz"), package, package / "dist"):
        assert browser_runtime.browser_runtime(source) == EXPECTED


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """npm(line): a program of that name, of one line of shell, and no other on the path."""

    def put(line: str) -> None:
        program = tmp_path / "bin" / "npm"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent))

    return put


@pytest.mark.usefixtures("pinned")
def test_npm_is_asked_for_one_version(npm, tmp_path):
    npm(f'/bin/cp {tarball(tmp_path / "a.tgz")} . && echo "$@" > {tmp_path / "asked"}')
    assert browser_runtime.browser_runtime() == EXPECTED
    asked = (tmp_path / "asked").read_text().split()
    assert asked == ["pack", "--loglevel=error", f"onnxruntime-web@{browser_runtime.VERSION}"]


def test_without_npm_or_network_the_remedy_is_said(npm, tmp_path, monkeypatch):
    npm("echo no network >&2; exit 1")
    with pytest.raises(InputError, match=r"no network.*--runtime"):
        browser_runtime.browser_runtime()
    npm_gone = tmp_path / "empty"
    npm_gone.mkdir()
    monkeypatch.setenv("PATH", str(npm_gone))
    with pytest.raises(InputError, match=r"no npm here.*npm pack onnxruntime-web@.*--runtime"):
        browser_runtime.browser_runtime()


def test_other_bytes_are_refused(tmp_path):
    with pytest.raises(InputError, match="is not that of onnxruntime-web"):
        browser_runtime.browser_runtime(tarball(tmp_path / "a.tgz"))
    with pytest.raises(InputError, match="is not that of onnxruntime-web"):
        browser_runtime.browser_runtime(folder(tmp_path / "package"))


@pytest.mark.usefixtures("pinned")
def test_what_is_no_package_is_refused(tmp_path):
    text = tmp_path / "a.txt"
    text.write_text("no tarball")
    with pytest.raises(InputError, match="no tarball"):
        browser_runtime.browser_runtime(text)
    with pytest.raises(InputError, match="not there"):
        browser_runtime.browser_runtime(tmp_path / "none.tgz")
    with pytest.raises(InputError, match=r"no ort.wasm.min.js in it"):
        browser_runtime.browser_runtime(tarball(tmp_path / "empty.tgz", {}))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no ort.wasm.min.js in it"):
        browser_runtime.browser_runtime(tmp_path / "empty")
    whole = tarball(tmp_path / "whole.tgz").read_bytes()
    (tmp_path / "half.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="no tarball"):
        browser_runtime.browser_runtime(tmp_path / "half.tgz")
