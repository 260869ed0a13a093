"""Every block of the documents runs, or says why no test runs it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.docs.blocks import LANGUAGES, PAGES, blocks

ALL = {page: blocks(page) for page in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_a_block_has_a_language_that_is_known(page):
    for block in ALL[page]:
        assert block.language in LANGUAGES or block.not_run, f"{page}, line {block.line}"


@pytest.mark.parametrize("page", [page for page in PAGES if ALL[page]])
def test_blocks_run_in_their_order(page, here):
    scope = {"image": np.asarray(Image.open(min(here.glob("photos/*.png"))))}
    for block in ALL[page]:
        block.run(scope)
