import os

import pytest
import torch
from safetensors.torch import save_file

from goodsam.data.errors import InputError
from goodsam.data.files import file_hash, write_whole, written_aside


@pytest.fixture(params=[0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def everything(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(("content", "expected"), [("å\n", "å\n".encode()), (b"\0\xff", b"\0\xff")])
def test_content_is_written_whole_into_a_folder_that_is_made(tmp_path, content, expected):
    for _ in range(2):  # the second time over the first
        write_whole(tmp_path / "deep" / "down" / "file.bin", content)
        assert (tmp_path / "deep/down/file.bin").read_bytes() == expected
    assert everything(tmp_path) == ["deep", "deep/down", "deep/down/file.bin"]


def test_a_folder_is_written_aside(tmp_path):
    (tmp_path / "out").mkdir()  # an empty one is replaced
    with written_aside(tmp_path / "out") as aside:
        aside.mkdir()
        (aside / "a.txt").write_text("a")
        assert not everything(tmp_path / "out")
    assert everything(tmp_path) == ["out", "out/a.txt"]


@pytest.mark.parametrize("folder", [False, True])
def test_what_fails_leaves_nothing_behind(tmp_path, folder):
    (tmp_path / "out").write_text("before")

    def fail():
        with written_aside(tmp_path / "out") as aside:
            if folder:
                aside.mkdir()
            (aside / "a.txt" if folder else aside).write_text("half")
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    assert everything(tmp_path) == ["out"]
    assert (tmp_path / "out").read_text() == "before"


def test_a_full_folder_is_not_replaced(tmp_path):
    write_whole(tmp_path / "out" / "mine.txt", "mine")
    with (
        pytest.raises(InputError, match="is there already"),
        written_aside(tmp_path / "out") as aside,
    ):
        aside.mkdir()
    assert everything(tmp_path) == ["out", "out/mine.txt"]


def test_what_a_killed_process_left_is_not_mixed_in(tmp_path):
    left = tmp_path / f".out.{os.getpid()}.writing"
    write_whole(left / "old.txt", "old")
    with written_aside(tmp_path / "out") as aside:
        assert aside == left
        aside.mkdir()
    assert everything(tmp_path) == ["out"]


def test_files_have_the_permissions_that_the_umask_gives(tmp_path, umask):
    """safetensors writes files that only their owner may read."""
    write_whole(tmp_path / "text", "text")
    tensors = {"a": torch.zeros(1)}
    with written_aside(tmp_path / "file.safetensors") as aside:
        save_file(tensors, aside)
    with written_aside(tmp_path / "folder") as aside:
        aside.mkdir()
        save_file(tensors, aside / "model.safetensors")
    for name in ("text", "file.safetensors", "folder/model.safetensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask, name


def test_a_file_is_known_by_its_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert file_hash(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
