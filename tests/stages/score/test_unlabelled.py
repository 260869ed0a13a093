import json

import numpy as np
import pytest
import torch
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas
from goodsam.stages.score.record import unlabelled_markdown, unlabelled_record
from goodsam.stages.score.unlabelled import Peers, inspect
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import save_segformer
from goodsam.stages.segformer.segmenter import Segmenter

NAMES = ("floor", "lamp", "sky")


def segmenter(folder, seed, **options):
    torch.manual_seed(seed)
    model = build_segformer("w16", NAMES).eval()
    with torch.no_grad():
        model.decode_head.classifier.weight.mul_(50)
    save_segformer(model, folder)
    return Segmenter.load(folder, **options)


@pytest.fixture
def panoramas(tmp_path):
    for n in (0, 1):
        small = np.random.default_rng(n).integers(0, 256, (4, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((128, 32))
        (tmp_path / "images").mkdir(exist_ok=True)
        picture.save(tmp_path / f"images/{n}.png")
    return find_panoramas(tmp_path / "images")


def test_everything_that_can_be_said(panoramas, tmp_path):
    student = segmenter(tmp_path / "a", 1)
    before = segmenter(tmp_path / "b", 2)
    teacher = segmenter(tmp_path / "c", 3, mode="windows")
    ignore = np.zeros((32, 128), bool)
    ignore[20:] = True
    seen = inspect(student, panoramas, peers=Peers(before, teacher), ignore=ignore)

    images = [np.array(Image.open(sample.image)) for sample in panoramas]
    now = np.stack([student(image)[:20] for image in images])
    then = np.stack([before(image)[:20] for image in images])
    for k, name in enumerate(NAMES):
        assert seen.shares[name] == pytest.approx(100 * (now == k).mean())
        assert seen.shares_before[name] == pytest.approx(100 * (then == k).mean())
    for i, image in enumerate(images):
        one = seen.images[f"{i}.png"]
        turned = student(np.concatenate([image[:, 64:], image[:, :64]], axis=1))
        back = np.concatenate([turned[:, 64:], turned[:, :64]], axis=1)[:20]
        assert one.roll == pytest.approx(100 * (back == now[i]).mean())
        assert one.windows == student.window_agreement(image)
        assert one.teacher == pytest.approx(100 * (teacher(image)[:20] == now[i]).mean())
        assert one.unchanged == pytest.approx(100 * (then[i] == now[i]).mean())
    pairs = {
        (a, b): 100 * ((then == i) & (now == j)).mean()
        for i, a in enumerate(NAMES)
        for j, b in enumerate(NAMES)
        if i != j
    }
    found = {(a, b): share for a, b, share in seen.largest_changes()}
    assert found == {pair: pytest.approx(share) for pair, share in pairs.items() if share}
    assert list(found.values()) == sorted(found.values(), reverse=True)

    record = unlabelled_record(seen, model="here")
    assert json.loads(json.dumps(record, allow_nan=False))["model"] == "here"
    text = unlabelled_markdown(record)
    assert "no accuracy" in text
    assert f"| floor | {seen.shares['floor']:.2f} | {seen.shares_before['floor']:.2f} |" in text


def test_without_peers_less_is_said(panoramas, tmp_path):
    seen = inspect(segmenter(tmp_path / "a", 1), panoramas)
    record = unlabelled_record(seen)
    assert record["teacher_agreement"] is record["unchanged"] is None
    assert record["class_shares_before"] is None
    assert record["largest_changes"] == []
    assert sum(record["class_shares"].values()) == pytest.approx(100)
    assert "student and teacher" not in unlabelled_markdown(record)
    with pytest.raises(InputError, match="there are no images"):
        inspect(segmenter(tmp_path / "a", 1), [])
