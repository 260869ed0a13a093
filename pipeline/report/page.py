"""The frame of a report: one HTML file with its style and script inside, which opens offline.

Templates lie in `templates/`, the style in `style.css`. The script, `viewer.js`, does two things
only: it turns panoramas round the circle (all of a group together, by dragging or the arrow keys),
and switches and fades the layers of a viewer. Without it everything is still there to be seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from goodsam.data.files import write_whole
from goodsam.pipeline.tell import duration, percent

_ROOM = Path(__file__).parent
_environment = Environment(
    loader=FileSystemLoader(_ROOM / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {"percent": percent, "duration": duration}


def render(template: str, **values: Any) -> Markup:
    """HTML of a template. Text among the values is escaped; HTML is Markup, and is not."""
    return Markup(_environment.get_template(template).render(values))


def write_report(path: Path, title: str, lead: str, *sections: Markup, footer: str = "") -> None:
    """Write sections as one self-contained page, whole or not at all.

    title, lead and footer are text, sections are HTML (`section` of parts).
    """
    page = render(
        "page.html",
        title=title,
        lead=lead,
        sections=sections,
        footer=footer,
        style=Markup((_ROOM / "style.css").read_text(encoding="utf-8")),
        script=Markup((_ROOM / "viewer.js").read_text(encoding="utf-8")),
    )
    write_whole(path, f"{page}\n")
