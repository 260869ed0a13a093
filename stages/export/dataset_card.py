"""The cards of what is shared beside networks: SAM caches and label maps, data sets on the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from goodsam.data.cache import SamCache
from goodsam.data.labels import LabelClass
from goodsam.data.licences import Licence, on_a_card
from goodsam.stages.export.card import plain, view_table

_CACHE = """---
{{ card_data }}
---

# {{ title }}

The masks that SAM (the Segment Anything Model) found in {{ done }} of {{ count }} panoramas, for
goodsam (GoodSAM, Zhang et al., CVPR 2024) to train from. The panoramas themselves are not in it;
their names and hashes are, and whoever has the same files can train:

    hf download --repo-type dataset {{ repo }} {{ file }} --local-dir .
    goodsam train PANORAMAS {{ file }} --out RUN

{{ geometry }}

| made by | |
|---|---|
{{ provenance }}

## Licence

Masks made by: {{ licence }}.
"""

_LABELS = """---
{{ card_data }}
---

# {{ title }}

{{ count }} label maps that goodsam (GoodSAM, Zhang et al., CVPR 2024) made; no person drew them.
`labels/` holds 8-bit PNG files of class ids, 255 for none, called like the photographs, which are
not in here.{{ others }}

| id | class |
|---:|---|
{{ classes }}

## Licence

None is named here: it depends on the network that labelled, and on the photographs.
"""


def cache_card(cache: SamCache, licence: Licence, repo: str, file: str) -> str:
    """The README beside a packed cache. file: the archive's name. licence: of the SAMs' weights."""
    missing = len(cache.missing())
    said = {
        f"{number}. {key}": value
        for number, entry in enumerate(cache.provenance, 1)
        for key, value in entry.items()
    }
    return _card(
        _CACHE,
        on_a_card(licence),
        "sam-masks",
        title=f"SAM cache, {repo}",
        repo=repo,
        done=len(cache.names) - missing,
        count=len(cache.names),
        file=file,
        geometry=view_table(cache.identity.geometry),
        provenance="\n".join(f"| {plain(k)} | {plain(str(v))} |" for k, v in said.items()),
        licence=plain(str(licence)),
    )


def labels_card(classes: Sequence[LabelClass], count: int, others: Sequence[str], repo: str) -> str:
    """The README beside label maps. others: the folders of further maps that go with them."""
    meant = {
        "confidence": "`confidence/` has the label's probability, 255 for 1.",
        "trust": "`trust/` is 255 where SAM's masks were trusted.",
    }
    return _card(
        _LABELS,
        {"license": "other"},
        "pseudo-labels",
        title=f"Label maps, {repo}",
        count=count,
        others="".join(f" {meant[name]}" for name in others),
        classes="\n".join(f"| {c.id} | {plain(c.name)} |" for c in classes),
    )


def _card(text: str, front: Mapping[str, Any], tag: str, **values: Any) -> str:
    from huggingface_hub import DatasetCard, DatasetCardData

    data = DatasetCardData(
        task_categories=["image-segmentation"],
        tags=["panorama", "360-degree", "goodsam", tag],
        **front,
    )
    values["title"] = plain(values["title"])
    card = DatasetCard.from_template(data, template_str=text, **values)
    return f"{card}\n"
