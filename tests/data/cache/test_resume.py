"""A cache that is gone on with: cut, made anew, added to, or refused."""

import shutil
from dataclasses import replace

import pytest

from goodsam.data.cache import SamCache
from goodsam.data.cache.places import Folder
from goodsam.data.errors import InputError
from goodsam.data.sphere import VerticalWindows
from goodsam.data.windows import Windows


def test_a_run_that_was_cut_ends_in_the_same_bytes(full, tmp_path, made, example, files):
    """Cut between panoramas, and within one: after its cells, after its tables."""
    cut = tmp_path / "cut.zarr"
    cache = SamCache.create_or_resume(cut, *made)
    cache.write("a.jpg", example(0))
    for array in ("cells", "tables"):  # of the second panorama: written, but never flagged
        for source in (full.path / array).glob("c.1.*"):
            shutil.copy(source, cut / array)
        resumed = SamCache.create_or_resume(cut, *made)
        assert resumed.missing() == ["city/b.png", "city/c.png"]
        with pytest.raises(InputError, match="no masks yet"):
            resumed.read("city/b.png")
    resumed.write("city/b.png", example(1))
    resumed.write("city/c.png", example(2))
    assert resumed.missing() == []
    assert files(cut) == files(full.path)


def test_a_record_that_is_written_anew_is_not_done_meanwhile(
    full, monkeypatch, example, assert_same
):
    write = Folder.write

    def fails(place, key, content):  # the disk, after the cells
        if key.startswith("tables"):
            raise OSError(28, "No space left on device")
        write(place, key, content)

    monkeypatch.setattr(Folder, "write", fails)
    with pytest.raises(OSError, match="No space"):
        full.write("a.jpg", example(7))
    monkeypatch.undo()
    assert SamCache.open(full.path).missing() == ["a.jpg"]
    full.write("a.jpg", example(7))
    assert_same(full.read("a.jpg"), example(7))


def test_new_images_are_appended(full, identity, images, provenance, example, assert_same):
    more = {**images, "0.png": "0" * 64}
    cache = SamCache.create_or_resume(full.path, identity, more, {"device": "cuda"})
    assert cache.names == ["a.jpg", "city/b.png", "city/c.png", "0.png"]
    assert cache.missing() == ["0.png"]
    assert cache.provenance == [provenance, {"device": "cuda"}]
    cache.write("0.png", example(3))
    for seed, name in enumerate(cache.names):
        assert_same(cache.read(name), example(seed))


def test_the_same_record_again_is_never_undone(full, monkeypatch, example, assert_same):
    """A task that runs twice, since its worker was taken for dead, loses nothing when it is cut."""

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Folder, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        full.write("a.jpg", example(0))
    assert_same(SamCache.open(full.path).read("a.jpg"), example(0))


def test_killed_while_it_is_made_it_is_made_anew(path, monkeypatch, made, images):
    write = Folder.write

    def killed(place, key, content):
        if key == "zarr.json":
            raise KeyboardInterrupt
        write(place, key, content)

    monkeypatch.setattr(Folder, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        SamCache.create_or_resume(path, *made)
    monkeypatch.undo()
    with pytest.raises(InputError, match="no SAM cache here"):
        SamCache.open(path)
    cache = SamCache.create_or_resume(path, *made)
    assert cache.names == sorted(images)
    assert [p.name for p in path.parent.iterdir()] == ["sam.zarr"]


def test_the_same_again_changes_nothing(full, made, files):
    before = files(full.path)
    SamCache.create_or_resume(full.path, *made)
    assert files(full.path) == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sam": "6" * 64}, f"sam is {'5' * 64}, not {'6' * 64}"),
        ({"settings": {"points_per_side": 16}}, "settings.pred_iou_thresh is 0.88, not None"),
        ({"settings": {"points_per_side": 16}}, "settings.points_per_side is 32, not 16"),
        ({"boundaries": "windows"}, "boundaries is overlap, not windows"),
        ({"windows": Windows(6, 16, 6, 2)}, "windows.stride is 4, not 2"),
        ({"windows": Windows(6, 16, 6, 4, wrap=False)}, "windows.wrap is True, not False"),
        ({"fit": True}, "fit is False, not True"),
        ({"ignored": (3, 40, 6 * 16 - 43)}, "ignored is [], not [3, 40, "),
        (
            {"windows": VerticalWindows.of(8, 16)},
            "windows is those of the plan band, not those of the plan vertical",
        ),
    ],
)
def test_another_identity_is_refused_by_name(
    full, change, message, identity, images, provenance, files
):
    before = files(full.path)
    with pytest.raises(InputError) as error:
        SamCache.create_or_resume(full.path, replace(identity, **change), images, provenance)
    assert message in str(error.value)
    assert str(full.path) in str(error.value)
    assert files(full.path) == before


def test_a_changed_image_is_refused_by_name(full, identity, images, provenance):
    with pytest.raises(InputError, match=r"city/b\.png: not the image .* restore"):
        SamCache.create_or_resume(
            full.path, identity, {**images, "city/b.png": "0" * 64}, provenance
        )
    full.match({"elsewhere.png": "0" * 64, "a.jpg": "a" * 64})


def test_something_else_is_not_overwritten(tmp_path, made):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is no SAM cache"):
        SamCache.create_or_resume(tmp_path, *made)
    with pytest.raises(InputError, match="exists and is no SAM cache"):
        SamCache.create_or_resume(tmp_path / "notes.txt", *made)
    assert (tmp_path / "notes.txt").read_text() == "mine"
