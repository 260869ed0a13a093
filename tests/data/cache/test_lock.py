import multiprocessing

import pytest

from goodsam.data.cache import SamCache, writing
from goodsam.data.errors import InputError


def hold_the_right_to_write(path, holding, done):
    with writing(path):
        holding.set()
        done.wait(60)


def test_a_second_writer_is_refused_until_the_first_is_done_or_dead(
    full, identity, images, provenance, example, assert_same
):
    context = multiprocessing.get_context("spawn")
    for end in ("done", "killed"):
        holding, done = context.Event(), context.Event()
        other = context.Process(target=hold_the_right_to_write, args=(full.path, holding, done))
        other.start()
        assert holding.wait(60)
        more = {**images, f"{end}.png": "0" * 64}
        with pytest.raises(InputError, match="another process is writing into it"):
            SamCache.create_or_resume(full.path, identity, more, provenance)
        assert_same(SamCache.open(full.path).read("a.jpg"), example(0))  # reading goes on
        if end == "done":
            done.set()
        else:
            other.kill()
        other.join()
        assert f"{end}.png" in SamCache.create_or_resume(full.path, identity, more, {}).names


def test_the_right_to_write_nests(full, identity, images, provenance):
    with writing(full.path):
        SamCache.create_or_resume(full.path, identity, images, {"device": "cuda"})
        assert SamCache.open(full.path).provenance == [provenance, {"device": "cuda"}]


def test_what_killed_processes_left_half_written_is_removed(full, tmp_path, files):
    """In the cache, once nobody else writes; where a link leads, nothing is."""
    before = files(full.path)
    left = [full.path / name for name in (".zarr.json.7.writing", "tables/.c.0.0.7.writing")]
    for path in left:
        path.write_bytes(b"half")
    with writing(full.path):
        assert files(full.path) == before
        left[1].write_bytes(b"another process of this run writes")
        with writing(full.path):
            assert left[1].exists()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/.c.7.writing").touch()
    (full.path / "cells").rename(tmp_path / "cells")
    (full.path / "cells").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with writing(full.path):
        assert (tmp_path / "elsewhere/.c.7.writing").exists()


def test_killed_before_it_said_what_it_is_a_cache_is_resumed(path, made):
    path.mkdir()
    (path / ".zarr.json.7.writing").write_bytes(b"half")
    assert SamCache.create_or_resume(path, *made).missing()
