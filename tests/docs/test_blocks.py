"""Every block of the documents runs, or says why no test runs it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.docs.blocks import LANGUAGES, PAGES, Block, blocks

ALL = {page: blocks(page) for page in PAGES}
ELSEWHERE = {"docs/CACHE_FORMAT.md"}  # tests/data/cache/test_document.py runs these and looks closer
BEGUN = {"docs/export.md", "docs/hardware.md", "docs/licences.md", "docs/notebooks.md"}  # they go on from docs/index.md
SLOW = {"README.md", "docs/cameras.md"}


def marked(page: str):
    return pytest.param(page, marks=pytest.mark.slow) if page in SLOW else page


@pytest.mark.parametrize("page", PAGES)
def test_a_block_has_a_language_or_a_reason(page):
    for block in ALL[page]:
        known = block.language in LANGUAGES
        assert known or block.not_run, f"{page}, line {block.line}: how is this to be run?"


@pytest.mark.parametrize("page", [marked(p) for p in PAGES if ALL[p] and p not in ELSEWHERE])
def test_blocks_run_in_their_order(page, request):
    here = request.getfixturevalue("begun" if page in BEGUN else "here")
    scope = {"image": np.asarray(Image.open(min(here.glob("photos/*.png"))))}
    for block in ALL[page]:
        block.run(scope)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("sh", "goodsam predict runs/none photos out"),
        ("sh", "goodsam predikt"),
        ("sh", "make no-such-target"),
        ("sh", "make train RUNN=x"),
        ("sh", "pip install goodsam"),
        ("sh", "pip install '.[no-such-extra]'"),
        ("sh", "no-such-program"),
        ("python", "import goodsam as gs\ngs.no_such_verb()"),
        ("yaml", "way: [no such class]"),
        ("cobol", ""),
    ],
)
def test_a_block_that_is_wrong_fails(language, text, here):
    with pytest.raises(BaseException, match=""):
        Block("page", 1, language, text, None).run({})
    Block("page", 1, language, text, "needs a reason").run({})
