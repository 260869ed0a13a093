"""Files from the hub, fetched so that it is seen: a bar at a terminal, else a line a minute."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from goodsam.stages.lines import Lines

LOG = logging.getLogger("goodsam.downloads")


def fetch(name: str, files: list[str]) -> Path:
    """The folder, in the user's Hugging Face cache, of a model on the hub with these files.

    files: names, or patterns like `*.safetensors`; those that the model lacks are left out. Raises
    what huggingface_hub does.
    """
    from huggingface_hub import snapshot_download

    Seen.model = name
    return Path(snapshot_download(name, allow_patterns=files, tqdm_class=Seen))


def fetch_weights(name: str) -> None:
    """Bring a SegFormer's weights into the cache: safetensors, or a pickle where there are none."""
    folder = fetch(name, ["config.json", "model.safetensors"])
    if not (folder / "model.safetensors").is_file():
        fetch(name, ["pytorch_model.bin"])


class Seen(tqdm):
    """tqdm's bar at a terminal; without one, bytes as lines of `goodsam`, and other counts not.

    huggingface_hub draws its own bars only at a terminal.
    """

    model = ""

    def __init__(self, *args: Any, **more: Any) -> None:
        drawn = sys.stderr.isatty() and LOG.isEnabledFor(logging.INFO)
        # what comes in, and not the same bytes once more as they are put together
        counts = more.get("unit") == "B" and "Reconstruct" not in more.get("desc", "")
        self._lines = _Bytes(f"download {self.model}") if counts else None
        super().__init__(*args, **{**more, "disable": not drawn})

    def update(self, n: float | None = 1) -> bool | None:
        """So many more are done."""
        if self.disable:
            self.n += n or 0  # a bar that is not drawn does not count
        if self._lines is not None and self.n:
            self._lines.update(self.n, self.total or None)
        return super().update(n)


class _Bytes(Lines):
    def amount(self, value: float) -> str:
        return f"{value / 2**20:.1f} MiB"
