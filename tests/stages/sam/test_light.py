"""Stage 1 loads what it needs, and nothing that takes seconds for another purpose."""

import subprocess
import sys

HEAVY = {
    "dask",
    "distributed",
    "goodsam.data.street.picture",
    "goodsam.pipeline.report",
    "goodsam.stages.segformer",
    "transformers",
}


def test_stage_1_imports_no_other_stage_and_no_renderer():
    program = "import sys, goodsam.stages.sam.cache_sam; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    loaded = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert "goodsam.stages.sam.cache_sam" in loaded
    assert not HEAVY & set(loaded)
