"""The report as a reader has it: in a headless Chromium, without a network."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from goodsam.data.classes import CITYSCAPES, PALETTE
from goodsam.pipeline.report.evaluation import evaluation_report
from goodsam.pipeline.report.pictures import Shown
from goodsam.pipeline.report.unlabelled import unlabelled_report
from goodsam.stages.score.boundary import BoundaryScores, boundary_counts
from goodsam.stages.score.confusion import Scores, confusion
from goodsam.stages.score.evaluate import Evaluation
from goodsam.stages.score.unlabelled import Agreement, Unlabelled

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the path: apt-get install chromium"
)
HEIGHT, WIDTH = 100, 512


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def panorama() -> np.ndarray:
    """uint8 (H, W, 3): hues that go once round the circle, so that its seam is smooth."""
    angle = 2 * np.pi * np.arange(WIDTH) / WIDTH
    row = np.stack([128 + 100 * np.sin(angle + shift) for shift in (0, 2, 4)], axis=1)
    return np.broadcast_to(row.astype(np.uint8), (HEIGHT, WIDTH, 3)).copy()


def label_map(shift: int = 0) -> np.ndarray:
    columns = (np.arange(WIDTH) + shift) * 19 // WIDTH % 19
    return np.broadcast_to(columns.astype(np.uint8), (HEIGHT, WIDTH)).copy()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Both kinds of report, as files."""
    folder = tmp_path_factory.mktemp("reports")
    truth = label_map()
    per_image, shown = {}, []
    for rank, shift in (("best", 2), ("median", 5), ("worst", 9)):
        name = f"leftImg8bit/val/{rank}_.png"
        scores = Scores(confusion(label_map(shift), truth, 19), CITYSCAPES)
        per_image[name] = scores
        note = f"{rank}: mIoU {scores.miou:.1f}"
        shown.append(Shown(name, panorama(), label_map(shift), truth, note))
    whole = Scores(np.asarray(sum(s.confusion for s in per_image.values())), CITYSCAPES)
    edges = BoundaryScores(boundary_counts(label_map(2), truth, 19), 3)
    evaluation_report(
        folder / "scored.html",
        Evaluation(whole, per_image, boundary=edges),
        shown,
        PALETTE,
        "a model",
        {"model": "runs/a"},
    )
    counts = np.random.default_rng(0).integers(1, 1000, (19, 19))
    shares = dict(zip(CITYSCAPES, 100 * counts.sum(axis=0) / counts.sum(), strict=True))
    before = dict(zip(CITYSCAPES, 100 * counts.sum(axis=1) / counts.sum(), strict=True))
    unlabelled_report(
        folder / "unlabelled.html",
        Unlabelled(shares, {"a.jpg": Agreement(91.0, 92.0, 93.0, 94.0)}, before, counts),
        [Shown("a.jpg", panorama(), label_map(2), before=label_map(4), teacher=label_map(1))],
        PALETTE,
        "a model",
        {},
    )
    return folder


@pytest.fixture
def page(browser, pages):
    """Opens a report at a width; whatever it asks of a network or complains of is an error."""
    opened, complaints = [], []

    def open_page(name: str = "scored", width: int = 1100):
        context = browser.new_context(viewport={"width": width, "height": 800}, offline=True)
        shown = context.new_page()
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on(
            "request",
            lambda request: (
                complaints.append(request.url)
                if not request.url.startswith(("file:", "data:"))
                else None
            ),
        )
        shown.goto((pages / f"{name}.html").as_uri())
        opened.append(context)
        return shown

    yield open_page
    for context in opened:
        context.close()
    assert complaints == []


def pixels(element) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(element.screenshot())).convert("RGB")).astype(int)


def opacities(viewer) -> list[float]:
    return viewer.locator(".layer").evaluate_all(
        "layers => layers.map(layer => Number(getComputedStyle(layer).opacity))"
    )


def test_layers_are_switched_and_faded(page):
    viewer = page().locator(".viewer").first
    assert opacities(viewer) == [1, 0.75, 0, 0]
    viewer.get_by_text("Truth", exact=True).click()
    assert opacities(viewer) == [1, 0, 0.75, 0]
    viewer.locator("input[type=range]").fill("100")
    assert opacities(viewer) == [1, 0, 1, 0]
    middle = pixels(viewer.locator(".pano"))[80]
    flat = {tuple(colour) for colour in middle[20:-20].tolist()}
    assert len(flat & {tuple(colour) for colour in PALETTE.tolist()}) > 5
    viewer.get_by_text("Panorama", exact=True).click()
    assert opacities(viewer) == [1, 0, 0, 0]


def test_everything_works_by_keyboard(page):
    shown = page()
    viewer = shown.locator(".viewer").first
    viewer.locator(".pano").focus()
    shown.keyboard.press("4")
    assert opacities(viewer) == [1, 0, 0, 0.75]
    shown.keyboard.press("1")
    before = pixels(viewer.locator(".pano"))
    shown.keyboard.press("ArrowRight")
    assert np.abs(pixels(viewer.locator(".pano")) - before).mean() > 1
    for _ in range(31):
        shown.keyboard.press("ArrowRight")  # 32 steps make the circle
    assert np.abs(pixels(viewer.locator(".pano")) - before).mean() < 0.5
    reached = set()
    shown.locator("h1").click()
    for _ in range(60):
        shown.keyboard.press("Tab")
        reached.add(shown.evaluate("document.activeElement.tagName + document.activeElement.type"))
    assert {"DIVundefined", "INPUTradio", "INPUTrange", "SUMMARYundefined"} <= reached


def test_a_panorama_is_dragged_round_the_circle_without_a_seam(page):
    shown = page()
    viewer = shown.locator(".viewer").first
    viewer.get_by_text("Panorama", exact=True).click()
    pano = viewer.locator(".pano")
    pano.scroll_into_view_if_needed()
    start, box = pixels(pano), pano.bounding_box()
    y = box["y"] + box["height"] / 2

    def drag(distance: float) -> np.ndarray:
        shown.mouse.move(box["x"] + 100, y)
        shown.mouse.down()
        shown.mouse.move(box["x"] + 100 + distance / 2, y)
        shown.mouse.move(box["x"] + 100 + distance, y)
        shown.mouse.up()
        return pixels(pano)

    turned = drag(box["width"] / 2)
    steps = np.abs(np.diff(turned[len(turned) // 2, 10:-10], axis=0)).max()
    assert steps <= 12  # no jump where the image's ends meet
    rolled = np.roll(start, start.shape[1] // 2, axis=1)
    middle = slice(20, -20)
    assert np.abs(turned - rolled)[middle, middle].mean() < 3
    assert np.abs(drag(box["width"] / 2) - start)[middle, middle].mean() < 3


def test_numbers_can_be_read_off(page):
    shown = page()
    assert shown.get_by_text("Boundary F-score by class, at 3 px").is_visible()
    bar = shown.locator(".bars .bar").first.bounding_box()
    track = shown.locator(".bars .track").first.bounding_box()
    value = float(shown.locator(".bars .value").first.inner_text())
    assert bar["width"] / track["width"] == pytest.approx(value / 100, abs=0.01)
    assert shown.locator(".matrix tbody tr").count() == 19
    assert shown.locator(".viewer").count() == 3
    shown.get_by_text("All 3").click()
    assert shown.get_by_text("leftImg8bit/val/worst_.png").last.is_visible()


@pytest.mark.parametrize("name", ["scored", "unlabelled"])
@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_it_without_scrolling_sideways(page, name, width):
    shown = page(name, width)
    for summary in shown.locator("summary").all():
        summary.click()
    assert shown.evaluate("document.documentElement.scrollWidth") <= width
    pano = shown.locator(".viewer .pano").first.bounding_box()
    assert pano["height"] >= 150
    fieldset = shown.locator("fieldset").first.bounding_box()
    assert fieldset["x"] + fieldset["width"] <= width


def test_without_labels_the_words_stand_on_top(page):
    shown = page("unlabelled")
    words = shown.get_by_text("nothing on this page is an accuracy")
    assert words.is_visible()
    assert words.bounding_box()["y"] < 400
    viewer = shown.locator(".viewer").first
    viewer.get_by_text("Changed its mind").click()
    assert opacities(viewer)[3] == 0.75
    assert shown.get_by_text("Where the student changed its mind").is_visible()
