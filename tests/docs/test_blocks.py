"""Every block of the documents runs, or says why no test runs it."""

from __future__ import annotations

from subprocess import CalledProcessError

import numpy as np
import pytest
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.stages.export.browser_runtime import browser_runtime
from tests.docs.blocks import LANGUAGES, PAGES, Block, blocks

ALL = {page: blocks(page) for page in PAGES}
ELSEWHERE = {"docs/CACHE_FORMAT.md"}  # run by tests/data/cache/test_document.py
BEGUN = {"docs/export.md", "docs/sharing.md"}  # begin where docs/index.md ends
SLOW = {"README.md", "docs/cameras.md", "docs/export.md", "docs/hardware.md", "docs/sphere.md"}


def marked(page: str):
    return pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page


@pytest.mark.parametrize("page", PAGES)
def test_a_block_has_a_language_or_a_reason(page):
    for block in ALL[page]:
        known = block.language in LANGUAGES
        assert known or block.not_run, f"{page}, line {block.line}: how is this to be run?"


@pytest.mark.parametrize("page", [marked(p) for p in PAGES if ALL[p] and p not in ELSEWHERE])
def test_blocks_run_in_their_order(page, request):
    if any("--format web" in block.text for block in ALL[page]):
        try:
            browser_runtime()
        except InputError as error:
            pytest.skip(f"no runtime for browsers: {error}")
    here = request.getfixturevalue("begun" if page in BEGUN else "here")
    scope = {"image": np.asarray(Image.open(min(here.glob("photos/*.png"))))}
    for block in ALL[page]:
        block.run(scope)


@pytest.mark.parametrize(
    ("language", "text", "error"),
    [
        ("sh", "goodsam predict runs/none photos out", AssertionError),
        ("sh", "goodsam predikt", AssertionError),
        ("sh", "make no-such-target", CalledProcessError),
        ("sh", "make train RUNN=x", AssertionError),
        ("sh", "pip install goodsam", AssertionError),
        ("sh", "pip install '.[no-such-extra]'", AssertionError),
        ("sh", "no-such-program", KeyError),
        ("python", "import goodsam as gs\ngs.no_such_verb()", AttributeError),
        ("yaml", "way: [no such class]", InputError),
        ("cobol", "", KeyError),
    ],
)
def test_a_block_that_is_wrong_fails(language, text, error, here):
    with pytest.raises(error) as raised:
        Block("page", 7, language, text, None).run({})
    assert raised.value.__notes__ == ["in the block of page, line 7"]
    Block("page", 7, language, text, "needs a GPU").run({})
