"""Examples in docstrings as code on the site: what begins with `>>>` is put in fences."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object


class Doctests(Extension):
    """For mkdocstrings, which knows examples only under a heading of their own."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = re.sub(
                r"^>>> .+?(?=\n\n|\Z)",
                r"```pycon\n\g<0>\n```",
                obj.docstring.value,
                flags=re.M | re.S,
            )
