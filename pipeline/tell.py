"""What a command tells: lines and bars on stderr while it works, numbers as text.

A bar shows rate and time left. Where stderr is no terminal (nohup, SLURM, a notebook) it is a line
a minute instead (`goodsam.stages.lines`). All lines go through the logger `goodsam`, which this
module has write on stderr; `log_file` has them in a file as well, with the bars' lines.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from goodsam.stages.lines import LOG, Lines, duration

if TYPE_CHECKING:  # rich is imported where a bar is drawn: most callers want a line or a number
    from rich.console import Console
    from rich.progress import Progress, Task
    from rich.text import Text

__all__ = [
    "bar_of_names",
    "duration",
    "each_line_once",
    "log_file",
    "percent",
    "printable",
    "progress_bar",
    "say",
    "set_verbosity",
]


def percent(value: float | None) -> str:
    """`12.34`, or a dash where there is no value."""
    return "-" if value is None or math.isnan(value) else f"{value:.2f}"


def printable(text: str) -> str:
    """Without what steers a terminal or is no text, as names of files may have it: `\\x1b`."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


class _Stderr(logging.Handler):
    """Writes on stderr, whatever that is when a line comes; those of progress with the time.

    bars: how many are drawn; meanwhile lines of progress say nothing new. heard: lines that are not
    written again; None: all are.
    """

    bars = 0
    heard: set[str] | None = None
    verbose = False

    def emit(self, record: logging.LogRecord) -> None:
        text = printable(record.getMessage())
        if hasattr(record, "progress"):
            if self.bars:
                return
            text = f"{logging.Formatter().formatTime(record, '%H:%M:%S')} {text}"
        elif self.heard is not None:
            if text in self.heard:
                return
            self.heard.add(text)
        print(text, file=sys.stderr, flush=True)


_STDERR = _Stderr()
LOG.addHandler(_STDERR)
LOG.setLevel(logging.INFO)
LOG.propagate = False


def set_verbosity(how: Literal["quiet", "normal", "verbose"]) -> None:
    """quiet: warnings and failures alone. verbose: a line for each step or panorama, no bars, and
    what libraries log."""
    _STDERR.setLevel(logging.WARNING if how == "quiet" else logging.NOTSET)
    _STDERR.verbose = how == "verbose"
    LOG.setLevel(logging.DEBUG if how == "verbose" else logging.INFO)
    of_bars = logging.getLogger("goodsam.downloads")  # by whose level downloads draw bars
    of_bars.setLevel(logging.WARNING if how == "quiet" else logging.NOTSET)
    # a hub that is not there is asked six times, and each is a line
    retries = logging.getLogger("huggingface_hub.utils._http")
    retries.setLevel(logging.NOTSET if how == "verbose" else logging.ERROR)
    if how == "verbose":
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")


def say(line: str, *, always: bool = False) -> None:
    """A line, unless it is empty. always: of a warning or a failure, which `-q` leaves as well."""
    if line:
        LOG.log(logging.WARNING if always else logging.INFO, "%s", line)


@contextmanager
def each_line_once() -> Iterator[None]:
    """Of several verbs in a row: what one says as well as another is not written again on stderr.

    Progress is, and files of the log have all of it.
    """
    before, _STDERR.heard = _STDERR.heard, set()
    try:
        yield
    finally:
        _STDERR.heard = before


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """All lines are added to a file too, with date and time, whatever `-q` says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_Printable("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    LOG.addHandler(handler)
    try:
        yield
    finally:
        LOG.removeHandler(handler)
        handler.close()


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextmanager
def progress_bar(
    title: str, total: int | None = None, unit: str = ""
) -> Iterator[Callable[..., None]]:
    """Gives `update(done, total=None, note="")`, to be called with the number done so far.

    unit: what is counted, for the lines: `step`, `panorama`.
    """
    from rich.console import Console

    lines = Lines(title, total, unit, 0.0 if _STDERR.verbose else None)
    console = Console(stderr=True)
    if not console.is_terminal or _STDERR.verbose or _STDERR.level:
        yield lines.update
        lines.finish()
        return
    with _bars(console) as bars:
        task = bars.add_task(title, total=total, note="")

        def update(done: float, total: int | None = None, note: str = "") -> None:
            bars.update(task, completed=done, total=total, note=printable(note))
            lines.update(done, total, note)

        _STDERR.bars += 1
        try:
            yield update
            lines.finish()
        finally:
            _STDERR.bars -= 1


@contextmanager
def bar_of_names(title: str, total: int, unit: str = "image") -> Iterator[Callable[[str], None]]:
    """Gives `finished(name)`, to be called with each thing that is done."""
    with progress_bar(title, total, unit) as update:
        done = 0

        def finished(name: str) -> None:
            nonlocal done
            done += 1
            update(done, note=name)

        yield finished


def _bars(console: Console) -> Progress:
    """A row each: title, bar, count, rate, time left, note."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            if speed is None:
                return Text("")
            return Text(f"{speed:.2f}/s" if speed < 10 else f"{speed:.0f}/s")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Rate(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),  # the note may be a name
        console=console,
    )
