"""What the site shows of the program itself: commands, settings, how to contribute.

mkdocs calls `on_page_markdown` for each page. A page that ends with `<!-- from the program -->` is
continued here, so that no number and no option is written down twice. `<!-- not run: REASON -->`
above a block of code says why no test runs it (tests/docs); readers of the site see the reason.
"""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

MARK = "<!-- from the program -->"
NOT_RUN = re.compile(r"^<!-- not run: (.+?) -->\n(```.*?\n```)$", flags=re.M | re.S)
ROOT = Path(__file__).parent.parent


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page, completed where it is one of those that are."""
    markdown = NOT_RUN.sub(r"\2\n\n*No test runs this: it \1.*", markdown)
    if MARK not in markdown:
        return markdown
    return markdown.replace(MARK, SOURCES[page.file.src_uri]())


def commands() -> str:
    """Every command's help, as Markdown."""
    import typer
    from typer.cli import get_docs_for_click

    from goodsam.pipeline.cli.app import app

    click = typer.main.get_command(app)
    context = typer.Context(click, info_name="goodsam")
    text = get_docs_for_click(obj=click, ctx=context, name="goodsam")
    return text.split("\n", 1)[1]  # the page has a title of its own


def settings() -> str:
    """All settings of stage 2 with their defaults, as YAML."""
    from goodsam.pipeline.config import adapt_config
    from goodsam.pipeline.settings import commented_yaml

    return f"```yaml\n{commented_yaml(adapt_config('goodsam-m'))}```"


def contributing() -> str:
    """CONTRIBUTING.md without its title, its links as seen from here."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    return text.split("\n", 1)[1].replace("](docs/", "](")


def teachers() -> str:
    """What `goodsam teachers` prints."""
    from goodsam.pipeline.cli.teachers import teachers as print_teachers

    printed = io.StringIO()
    with redirect_stdout(printed):
        print_teachers()
    return f"```text\n{printed.getvalue()}```"


SOURCES = {
    "cli.md": commands,
    "settings.md": settings,
    "contributing.md": contributing,
    "teachers.md": teachers,
}
