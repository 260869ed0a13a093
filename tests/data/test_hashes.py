import hashlib
import json
import os
import time

import pytest

from goodsam.data import hashes as module
from goodsam.data.hashes import Hashes


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    settle(path)
    return path


def settle(path, seconds=100.0):
    """As if the file had been left alone for a while: the time of its entry cannot be set."""
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.fixture(autouse=True)
def read(monkeypatch):
    """The files that were read, in the order of reading."""
    seen = []

    def counted(path):
        seen.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(module, "file_hash", counted)
    monkeypatch.setattr(module, "_SETTLED", 0.0)
    return seen


def test_a_file_that_stayed_as_it_was_is_read_once(file, tmp_path, read):
    memory = tmp_path / "m/hashes.jsonl"
    one = hashlib.sha256(b"one").hexdigest()
    assert Hashes(memory).of(file) == Hashes(memory).of(file) == one
    assert read == ["a.jpg"]
    assert Hashes(memory, verify=True).of(file) == one
    assert Hashes(None).of(file) == one
    assert len(read) == 3


@pytest.mark.parametrize("content", [b"two", b"longer"])
def test_a_file_that_changed_is_read_again(file, tmp_path, content):
    memory = tmp_path / "hashes.jsonl"
    Hashes(memory).of(file)
    before = file.stat()
    file.write_bytes(content)
    # whoever sets the time of the content back does not set back that of the entry
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Hashes(memory).of(file) == hashlib.sha256(content).hexdigest()
    assert Hashes(memory).of(file) == hashlib.sha256(content).hexdigest()


def test_a_file_that_has_just_changed_is_not_remembered(tmp_path, monkeypatch, read):
    monkeypatch.setattr(module, "_SETTLED", 60.0)
    path = tmp_path / "a.jpg"
    path.write_bytes(b"one")
    for _ in range(2):
        Hashes(tmp_path / "hashes.jsonl").of(path)
    assert len(read) == 2
    assert not (tmp_path / "hashes.jsonl").exists()


def test_torn_and_strange_lines_are_passed_over(file, tmp_path, read):
    memory = tmp_path / "hashes.jsonl"
    Hashes(memory).of(file)
    line = memory.read_bytes()
    where = json.loads(line)[0]
    memory.write_bytes(b'["x", 3\n\xff\n[]\n[1, [2], "3"]\n' + line + b'["' + where.encode()[:5])
    Hashes(memory).of(file)
    assert len(read) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(file, tmp_path):
    (tmp_path / "m").mkdir(mode=0o500)
    assert Hashes(tmp_path / "m/hashes.jsonl").of(file) == hashlib.sha256(b"one").hexdigest()


def test_what_cannot_be_written_is_not_remembered(file, tmp_path):
    (tmp_path / "m").write_text("a file in the way")
    assert Hashes(tmp_path / "m/hashes.jsonl").of(file) == hashlib.sha256(b"one").hexdigest()
