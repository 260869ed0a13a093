import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from goodsam.data.classes import CITYSCAPES, IGNORE, PALETTE, colourise
from goodsam.data.sphere import TangentWindows, VerticalWindows
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows
from goodsam.pipeline.report.charts import line_charts
from goodsam.pipeline.report.demo import DemoRow, demo_report
from goodsam.pipeline.report.evaluation import best_median_worst, evaluation_report
from goodsam.pipeline.report.parts import class_bars, matrix, settings_list, strip, table, viewer
from goodsam.pipeline.report.pictures import (
    BOUNDARY,
    Layer,
    Shown,
    boundary_picture,
    error_picture,
    masks_picture,
    picture_uri,
    shown_layers,
)
from goodsam.pipeline.report.unlabelled import unlabelled_report
from goodsam.stages.score.boundary import BoundaryScores
from goodsam.stages.score.confusion import Scores, confusion
from goodsam.stages.score.evaluate import Evaluation
from goodsam.stages.score.unlabelled import Agreement, Unlabelled

VOID = {"meta", "input", "br", "line", "polyline"}


class Page(HTMLParser):
    """Checks that tags are balanced, and keeps text and attributes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.text, self.attributes = [], "", []
        self.feed(str(html))  # Markup would escape what is added to it
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in {"style", "script"}:
            self.text += data + " "


def decoded(uri):
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def photo(height=20, width=100, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def label_map(seed=0, classes=19):
    return np.random.default_rng(seed).integers(0, classes, (20, 100), dtype=np.uint8)


def scores_of(prediction, truth):
    return Scores(confusion(prediction, truth, 19), CITYSCAPES)


@pytest.fixture
def evaluation():
    truth = label_map()
    per_image = {}
    for name, wrong in (("good", 50), ("fair", 500), ("bad", 1500), ("awful", 1900)):
        prediction = truth.copy()
        prediction.flat[:wrong] = (prediction.flat[:wrong] + 1) % 19
        per_image[name] = scores_of(prediction, truth)
    return Evaluation(Scores(sum(s.confusion for s in per_image.values()), CITYSCAPES), per_image)


def test_label_maps_are_kept_exactly_and_photos_are_small():
    colours = colourise(label_map())
    uri, flat = picture_uri(colours)
    assert flat
    assert (decoded(uri) == colours).all()
    uri, flat = picture_uri(photo(40, 100))
    assert not flat
    assert uri.startswith("data:image/jpeg;base64,")


def test_wide_pictures_are_made_smaller():
    colours = colourise(np.repeat(label_map(), 41, axis=1))
    small = decoded(picture_uri(colours)[0])
    assert small.shape == (10, 2048, 3)
    assert {tuple(c) for c in small.reshape(-1, 3)} <= {tuple(c) for c in PALETTE}


def test_error_picture():
    truth, said = np.uint8([[0, 0, 0, 0, IGNORE]]), np.uint8([[0, 1, 0, 1, 1]])
    right, wrong, again, wrong_too, unknown = error_picture(said, truth)[0].tolist()
    assert (again, wrong_too) == (right, wrong)
    assert len({tuple(c) for c in (right, wrong, unknown)}) == 3
    assert wrong[0] > 150 > wrong[1]


def test_masks_picture_shows_the_smallest_mask_on_top():
    windows = Windows.of(8, 32)
    masks = np.zeros((2, 8, 8), dtype=bool)
    masks[0, :6] = True
    masks[1, 2:4, 2:4] = True
    one = WindowMasks.of(masks, np.ones(2), np.ones(2))
    none = WindowMasks.of(np.zeros((0, 8, 8), dtype=bool), np.ones(0), np.ones(0))
    image = np.full((8, 32, 3), 100, np.uint8)
    shown = masks_picture(image, [one, none, none, none] + [none] * 4, windows)
    large, small, outside = shown[0, 0], shown[2, 2], shown[7, 0]
    assert (shown[:6, :8][~masks[1, :6]] == large).all()
    assert (shown[2:4, 2:4] == small).all()
    assert (large != small).any()
    assert outside.tolist() == [45, 45, 45]
    assert (shown[:, 8:] == 45).all()


@pytest.mark.parametrize("windows", [VerticalWindows.of(16, 32), TangentWindows(16, 32)])
def test_pictures_of_a_sphere_are_put_together_from_its_windows(windows):
    rng = np.random.default_rng(0)
    h, w = windows.window_shape
    masks, areas = [], []
    for _ in range(len(windows)):
        whole = np.ones((1, h, w), bool) & (rng.random((h, w)) < 0.8)
        masks.append(WindowMasks.of(whole, np.ones(1), np.ones(1)))
        areas.append(whole[0])
    image = rng.integers(0, 256, (16, 32, 3), dtype=np.uint8)
    shown = masks_picture(image, masks, windows, opacity=1.0)
    inside = windows.join_labels(np.stack(areas))
    source = windows.join_labels(np.arange(len(windows))[:, None, None].repeat(h, 1).repeat(w, 2))
    np.testing.assert_array_equal(shown[~inside], np.rint(0.45 * image[~inside]).astype(np.uint8))
    for number in range(len(windows)):  # one mask a window, one colour
        assert len(np.unique(shown[inside & (source == number)], axis=0)) <= 1
    assert len(np.unique(shown[inside], axis=0)) >= len(windows) // 2

    boundaries = [rng.random(shape) < 0.05 for shape in windows.overlap_shapes]
    expected = np.zeros((16, 32), bool)
    for overlap, boundary in zip(windows.overlaps, boundaries, strict=True):
        rows, columns = windows.overlap_pixels(overlap)
        for i, j in np.argwhere(boundary):
            expected[rows[i, 0], columns[0, j]] = True
    drawn = boundary_picture(image, boundaries, windows)
    np.testing.assert_array_equal((drawn == BOUNDARY).all(axis=2), expected)


def test_best_median_worst(evaluation):
    assert best_median_worst(evaluation) == [
        ("best", "good"),
        ("median", "bad"),
        ("worst", "awful"),
    ]
    one = Evaluation(evaluation.scores, {"only": evaluation.per_image["good"]})
    assert best_median_worst(one) == [("best", "only")]
    blank = Evaluation(
        evaluation.scores, {"blank": Scores(np.zeros((19, 19), np.int64), CITYSCAPES)}
    )
    assert best_median_worst(blank) == []


def test_every_text_is_escaped():
    evil = "<script>alert('&')</script>"
    parts = [
        table([evil], [[evil, (evil, evil)]]),
        class_bars([evil], PALETTE, [1.0]),
        matrix(Scores(np.eye(1, dtype=np.int64), (evil,))),
        strip([Layer(evil, photo(), evil)]),
        viewer(evil, [Layer(evil, photo())], evil),
        line_charts([1, 2], {evil: [1.0, 2.0]}),
        settings_list({evil: {evil: evil}}),
    ]
    for html in parts:
        page = Page(html)
        assert "<script" not in html
        assert evil in page.text or any(evil in str(a[2]) for a in page.attributes)


def test_bars_show_value_and_difference():
    page = Page(class_bars(["a", "b", "c"], PALETTE, [50.0, None, 10.0], before=[40.0, 1.0, 30.0]))
    assert "40.00 → 50.00 +10.0" in re.sub(r"\s+", " ", page.text)
    assert "30.00 → 10.00 -20.0" in re.sub(r"\s+", " ", page.text)
    assert "1.00 → - " in page.text
    assert ("div", "style", "width:40.00%") in page.attributes


def test_matrix_shares_go_by_row():
    page = Page(matrix(Scores(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 2]]), ("a", "b", "c"))))
    hints = [value for tag, key, value in page.attributes if (tag, key) == ("td", "title")]
    assert hints == [
        "a predicted as a: 75.00 %", "a predicted as b: 25.00 %", "a predicted as c: 0.00 %",
        "c predicted as a: 0.00 %", "c predicted as b: 0.00 %", "c predicted as c: 100.00 %",
    ]  # fmt: skip


def test_matrix_has_a_column_for_pixels_without_a_class():
    page = Page(matrix(Scores(np.array([[3, 0, 1], [0, 2, 0]]), ("a", "b"))))
    hints = [value for tag, key, value in page.attributes if (tag, key) == ("td", "title")]
    assert hints[2] == "a predicted as no class: 25.00 %"
    assert len(hints) == 6


def test_line_chart_spans_its_frame():
    html = line_charts([10, 20, 30], {"loss": [3.0, 1.0, 2.0]})
    raw = re.search(r"class='raw' points='([^']*)'", html)
    assert raw is not None
    points = [tuple(map(float, point.split(","))) for point in raw[1].split()]
    assert [y for _, y in points] == [8.0, 110.0, 59.0]  # top, bottom and the middle between
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0], abs=0.11)
    assert "3 → 2" in Page(html).text
    Page(line_charts([1], {"constant": [0.0]}))


def assert_self_contained(html):
    for tag, key, value in Page(html).attributes:
        assert key not in {"src", "href"}, (tag, value)
    for url in re.findall(r"url\(([^)]{0,20})", html):
        assert url.startswith("data:image/")
    assert "http://" not in html
    assert "https://" not in html


def test_evaluation_report(tmp_path, evaluation):
    truth = label_map()
    shown = Shown("good", photo(), truth, truth, "best")
    assert [layer.title for layer in shown_layers(shown, PALETTE)] == [
        "Panorama", "Prediction", "Truth", "Errors",
    ]  # fmt: skip
    path = tmp_path / "deep/report.html"
    edges = BoundaryScores(np.tile([10, 5, 10, 5], (19, 1)), 3)
    evaluation = replace(evaluation, boundary=edges)
    evaluation_report(path, evaluation, [shown], PALETTE, "a model", {"window": {"width": 8}})
    html = path.read_text()
    assert_self_contained(html)
    text = Page(html).text
    assert f"{evaluation.scores.miou:.2f}" in text
    assert f"{evaluation.scores.pixel_accuracy:.2f}" in text
    assert "window.width" in text
    assert "Boundary F-score by class, at 3 px" in text
    assert "50.00" in text
    assert all(name in text for name in (*CITYSCAPES, *evaluation.per_image))
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_unlabelled_report_claims_no_accuracy(tmp_path):
    images = {
        "a": Agreement(windows=90.0, roll=70.0, unchanged=60.0),
        "b": Agreement(windows=80.0, roll=71.0, unchanged=61.0),
        "c": Agreement(windows=float("nan"), roll=72.0, unchanged=62.0),
    }
    changes = np.array([[50, 10], [5, 35]])
    shares, before = {"floor": 55.0, "lamp": 45.0}, {"floor": 60.0, "lamp": 40.0}
    seen = Unlabelled(shares, images, before, changes)
    shown = [Shown("a", photo(), label_map(classes=2), before=label_map(1, classes=2))]
    unlabelled_report(tmp_path / "r.html", seen, shown, PALETTE[:2], "a model", {})
    html = (tmp_path / "r.html").read_text()
    assert_self_contained(html)
    text = Page(html).text
    assert "nothing on this page is an accuracy" in text
    assert all(number in text for number in ("85.00", "71.00", "61.00", "10.00"))
    assert "60.00 → 55.00" in text
    assert "Changed its mind" in text
    assert "teacher assistant" not in text
    assert "mIoU" not in text


def test_demo_report(tmp_path):
    truth = label_map()
    worse, better = truth.copy(), truth.copy()
    worse.flat[:900] = (worse.flat[:900] + 1) % 19
    better.flat[:300] = (better.flat[:300] + 1) % 19
    results = [
        DemoRow("before", scores_of(worse, truth)),
        DemoRow("after", scores_of(better, truth), "note"),
    ]
    metrics = [{"step": s, "loss": 1 / s, "still": 1.0} for s in (1, 2, 3)]
    demo_report(
        tmp_path / "r.html",
        story=[Layer("Panorama", photo(), "seen"), Layer("Truth", colourise(truth))],
        results=results,
        before="before",
        after="after",
        palette=PALETTE,
        panoramas={"one": shown_layers(Shown("one", photo(), better, truth), PALETTE)},
        metrics=metrics,
        settings={"preset": "demo"},
        seconds={"train": 61.0, "evaluate": 4.0},
        notes=["On two panoramas."],
    )
    html = (tmp_path / "r.html").read_text()
    assert_self_contained(html)
    text = Page(html).text
    first, last = results[0].scores.miou, results[1].scores.miou
    assert f"{first:.2f} → {last:.2f}" in text
    assert f"{last - first:+.2f} points" in text
    assert "19 up, 0 down" in text
    assert "1 min 05 s" in text
    assert "On two panoramas." in text
    assert "loss" in text
    assert "still" not in text
