"""The page in a headless Chromium, opened as a file and without a network, beside `predict`."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.labels.maps import rgb_png
from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.data.windows import Windows
from goodsam.stages.export.browser_runtime import browser_runtime
from goodsam.stages.export.web import export_web
from goodsam.stages.predict import overlay
from goodsam.stages.segformer.segmenter import Segmenter

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium on the path: apt-get install chromium"
    ),
]
HEIGHT, WIDTH = 200, 1024
PATIENCE = 120_000  # ms; WebAssembly on a machine that is shared
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-dev-shm-usage"),
)


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def exported(request, tmp_path_factory):
    """A network that fits what it is shown, and the page with it."""
    try:
        runtime = browser_runtime()
    except InputError as error:
        pytest.skip(f"no runtime for browsers: {error}")
    network = Segmenter.load("street-student", device="cpu", wrap=getattr(request, "param", False))
    segmenter = network.seeing(Windows.of(HEIGHT, WIDTH), fit=True)
    site = tmp_path_factory.mktemp("page") / "site"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("goodsam.stages.export.web.browser_runtime", lambda source: runtime)
        export_web(segmenter, site)
    return segmenter, site


@pytest.fixture
def page(browser, exported):
    """The page, opened; whatever it asks of a network or complains of is an error."""
    complaints = []
    context = browser.new_context(viewport={"width": 1100, "height": 900}, offline=True)
    shown = context.new_page()
    shown.on("pageerror", lambda error: complaints.append(str(error)))
    shown.on("console", lambda said: said.type == "error" and complaints.append(said.text))
    shown.on(
        "request",
        lambda asked: asked.url.startswith(("file:", "blob:")) or complaints.append(asked.url),
    )
    shown.goto((exported[1] / "index.html").as_uri())
    yield shown
    context.close()
    assert complaints == []


def street(seed: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    return panorama(split_seed("test", seed, 0), height, width).image


def whole_sphere(band: np.ndarray) -> np.ndarray:
    """uint8 (W / 2, W, 3): a band amid its own first and last rows."""
    height, width = band.shape[:2]
    above = (width // 2 - height) // 2
    return np.pad(band, ((above, width // 2 - height - above), (0, 0), (0, 0)), mode="edge")


def give(page, name: str, content: bytes) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "", "buffer": content})


def labelled(page, image: np.ndarray) -> np.ndarray:
    """uint8 (H, W): the label map that the page hands out for an image."""
    give(page, "street.png", rgb_png(image))
    page.wait_for_selector("[data-do=labels]:not([disabled])", timeout=PATIENCE)
    assert page.locator("#trouble").is_hidden()
    handed = Image.open(io.BytesIO(download(page, "labels", "street-labels.png")))
    assert handed.mode == "P"
    return np.array(handed)


def download(page, what: str, name: str) -> bytes:
    with page.expect_download() as waiting:
        page.click(f"[data-do={what}]")
    assert waiting.value.suggested_filename == name
    with open(waiting.value.path(), "rb") as file:
        return file.read()


@pytest.mark.parametrize(
    "image",
    [street(0), street(1, 164, 840), whole_sphere(street(2))],
    ids=["its own size", "a smaller band", "a sphere"],
)
@pytest.mark.parametrize("exported", [False, True], indirect=True, ids=["plain", "wrap"])
def test_it_labels_as_python_does(page, exported, image):
    segmenter, _ = exported
    found, expected = labelled(page, image), segmenter(image)
    assert found.shape == expected.shape
    agreement = 100 * (found == expected).mean()
    print(f"{agreement:.3f} % of the pixels are labelled alike")
    assert agreement >= 99.5
    assert ((found == 255) == (expected == 255)).all()
    shown = np.array(Image.open(io.BytesIO(download(page, "overlay", "street-overlay.png"))))
    wanted = overlay(image, found, segmenter.palette)
    assert np.abs(shown[..., :3].astype(int) - wanted).max() <= 1
    assert "labelled in" in page.inner_text("#status")


def test_a_tilted_camera_is_told_of(page):
    xmp = b'<rdf:Description GPano:PosePitchDegrees="-7.5" GPano:PoseRollDegrees="0"/>'
    buffer = io.BytesIO()
    Image.fromarray(street(3)).save(buffer, "jpeg", xmp=xmp)
    give(page, "tilted.jpg", buffer.getvalue())
    page.wait_for_selector("#classes:not([hidden])", timeout=PATIENCE)
    assert "its camera was tilted" in page.inner_text("#status")


def test_a_photograph_is_chosen_or_dropped(page):
    with page.expect_file_chooser() as waiting:
        page.click("#invitation [data-do=open]")
    content = {"name": "a.png", "mimeType": "image/png", "buffer": rgb_png(street(4))}
    waiting.value.set_files(content)
    page.wait_for_selector("#classes:not([hidden])", timeout=PATIENCE)
    page.evaluate(
        "const put = new DataTransfer(); put.items.add(new File(['no image'], 'dropped.txt'));"
        "stage.dispatchEvent(new DragEvent('drop', {dataTransfer: put, bubbles: true}))"
    )
    page.wait_for_selector("#trouble:not([hidden])")
    assert page.inner_text("#trouble").startswith("dropped.txt is not an image")
    assert "labelled in" in page.inner_text("#status")  # what was there before is still shown
    assert page.locator("[data-do=labels]").is_enabled()


def test_the_sample_is_looked_at_from_all_sides(page, exported):
    segmenter, _ = exported
    assert page.locator("#tools").is_hidden()
    page.click("#invitation [data-do=sample]")
    page.wait_for_selector("#classes:not([hidden])", timeout=PATIENCE)
    assert page.evaluate("Boolean(view.gl)"), "no WebGL here: only the flat view was seen"
    canvas = page.locator("#canvas")
    middle = {"x": 400, "y": 250}
    canvas.hover(position=middle)
    under = page.inner_text("#pointed")
    assert under in segmenter.names
    assert page.locator("#legend .pointed .name").inner_text() == under
    ahead = canvas.screenshot()
    page.mouse.down()
    page.mouse.move(700, 300)
    page.mouse.up()
    assert page.evaluate("view.yaw") < -0.2
    page.evaluate("(view.yaw = 2 * Math.PI, view.pitch = 0, view.draw())")
    page.mouse.move(5, 5)
    assert distance(canvas.screenshot(), ahead) < 3  # once round, but for the tip at the pointer
    page.evaluate("(view.yaw = 0, view.draw())")
    canvas.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.evaluate("view.yaw") > 0.1
    before = page.evaluate("view.fov")
    page.keyboard.press("+")
    assert page.evaluate("view.fov") < before
    page.get_by_text("Flat", exact=True).click()
    box = canvas.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(WIDTH / HEIGHT, rel=0.02)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1100


def distance(one: bytes, other: bytes) -> float:
    pictures = [np.array(Image.open(io.BytesIO(png)).convert("RGB"), int) for png in (one, other)]
    return float(np.abs(pictures[0] - pictures[1]).mean())


def test_labels_fade_and_one_class_is_seen_alone(page):
    page.click("#invitation [data-do=sample]")
    page.wait_for_selector("#classes:not([hidden])", timeout=PATIENCE)
    canvas = page.locator("#canvas")
    shown = canvas.screenshot()
    page.locator("#opacity").fill("0")
    bare = canvas.screenshot()
    assert distance(shown, bare) > 5
    first = page.locator("#legend button").first
    first.click()
    assert first.get_attribute("aria-pressed") == "true"
    assert distance(canvas.screenshot(), bare) > 5
    first.click()
    assert distance(canvas.screenshot(), bare) < 0.5
    shares = page.locator("#legend .value").all_inner_texts()
    numbers = [float(text.rstrip(" %").lstrip("< ")) for text in shares]
    assert numbers == sorted(numbers, reverse=True)
    assert 99 < sum(numbers) < 101.5


def test_without_webgl_it_is_flat(page):
    page.add_init_script(
        "const get = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        "  return kind === 'webgl2' ? null : get.call(this, kind, ...more); };"
    )
    page.reload()
    page.click("#invitation [data-do=sample]")
    page.wait_for_selector("#classes:not([hidden])", timeout=PATIENCE)
    canvas = page.locator("#canvas")
    shown = canvas.screenshot()
    page.locator("#opacity").fill("0")
    assert distance(canvas.screenshot(), shown) > 5
    assert page.evaluate("view.turn(100, 0), view.yaw") != 0


@pytest.mark.parametrize(
    ("name", "size", "says"),
    [
        ("notes.txt", None, "notes.txt is not an image"),
        ("flat.png", (400, 300), "This picture is 400 x 300"),
        ("small.png", (40, 20), "small.png is too small: 40 x 20"),
        ("huge.png", (9200, 9200), "huge.png is too large: 9200 x 9200, 85 million pixels"),
    ],
)
def test_what_it_cannot_label_is_said(page, name, size, says):
    content = b"no image"
    if size is not None:
        buffer = io.BytesIO()
        Image.new("1", size).save(buffer, "png")
        content = buffer.getvalue()
    give(page, name, content)
    page.wait_for_selector("#trouble:not([hidden])", timeout=PATIENCE)
    said = page.inner_text("#trouble").replace("\N{MULTIPLICATION SIGN}", "x")
    assert said.startswith(says)
    assert page.locator("#progress.busy").count() == 0


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_shows_it_without_scrolling_sideways(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("#invitation [data-do=sample]")
    page.wait_for_selector("#classes:not([hidden])", timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
