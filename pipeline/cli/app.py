"""The command `goodsam`.

Exit status: 0 done; 2 wrong usage or input, found before work began; 1 anything that failed or was
skipped after that; 128 and the signal's number when it was stopped. An error is one line. Anywhere
on the line `--debug` adds the traceback, and `-q` and `-v` say how much is told. Heavy modules are
imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer

from goodsam.data.errors import InputError
from goodsam.data.files import NO_ROOM
from goodsam.pipeline.cli import (
    ablate,
    bench,
    cache,
    cache_sam,
    data,
    demo,
    doctor,
    evaluate,
    export,
    frames,
    label,
    predict,
    reproduce,
    rooms,
    run,
    settings,
    share,
    source,
    teachers,
    train,
    world,
)
from goodsam.pipeline.tell import printable, set_verbosity
from goodsam.stages.memory import keep_freed_memory

app = typer.Typer(
    name="goodsam",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing boxes takes a third of a second, the rest of --help a tenth
    help="Panoramic segmentation without labels: the masks of SAM and the classes of a teacher "
    "assistant are fused and taught to a small student (GoodSAM, CVPR 2024).",
)
app.command("run")(run.run)
app.command("demo")(demo.demo)
app.command("world")(world.world)
app.command("rooms")(rooms.rooms)
app.command("cache-sam")(cache_sam.cache_sam)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("frames")(frames.frames)
app.command("label")(label.label)
app.command("export")(export.export)
app.command("card")(share.card)
app.command("push")(share.push)
app.command("source")(source.source)
app.command("doctor")(doctor.doctor)
app.command("settings")(settings.settings)
app.command("teachers")(teachers.teachers)
app.add_typer(cache.app, name="cache")
app.add_typer(data.app, name="data")
app.add_typer(bench.app, name="bench")
app.add_typer(reproduce.app, name="reproduce")
app.command("ablate")(ablate.ablate)


def _version(wanted: bool) -> None:
    if wanted:
        import goodsam

        print(f"goodsam {goodsam.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_version),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error was raised; works anywhere.")
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", help="Show only warnings and failures; works anywhere."),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", help="Show each step, and what libraries log; works anywhere."
        ),
    ] = False,
) -> None:
    """Options of every command. `main` takes those out that work anywhere before this is called."""


def main() -> None:
    """Run the command; turn errors into one line and an exit status."""
    keep_freed_memory()
    debug = _taken("--debug")
    quiet, verbose = _taken("-q", "--quiet"), _taken("-v", "--verbose")
    set_verbosity("quiet" if quiet else "verbose" if verbose else "normal")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal may know less than a file's name has
            stream.reconfigure(errors="backslashreplace")
    try:
        with _stopped_by_signals():
            app()
    except InputError as error:
        _fail(error, str(error), 2, debug)
    except Stopped as error:
        message = f"stopped ({error}); start the same command again to resume"
        _fail(error, message, 128 + error.number, debug)
    except OSError as error:
        _fail(error, _of_the_disk(error), 1, debug)
    except Exception as error:
        what = str(error) or type(error).__name__
        _fail(error, f"{what} (--debug shows where)", 1, debug)


def _taken(*names: str) -> bool:
    """Whether an option stands anywhere among the arguments, from which it is taken out."""
    given = any(argument in names for argument in sys.argv[1:])
    sys.argv = [*sys.argv[:1], *(a for a in sys.argv[1:] if a not in names)]
    return given


class Stopped(BaseException):
    """The process was asked to end; what is half written is removed on the way out."""

    def __init__(self, number: int) -> None:
        super().__init__("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)
        self.number = number


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal raise Stopped; of a second one the process dies."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    own = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != own:  # a worker that was forked: whoever started it ends it
            if number == signal.SIGTERM:
                os._exit(128 + number)
            return
        for other in before:
            signal.signal(other, signal.SIG_DFL)
        raise Stopped(number)

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _of_the_disk(error: OSError) -> str:
    """What the disk says, of which file, and what to do."""
    if error.strerror is None:
        return f"{error} (--debug shows where)"
    where = "" if error.filename is None else f"{error.filename}: "
    remedy = "look at its permissions, or give another path"
    if error.errno in NO_ROOM:
        remedy = "make room on the disk, and start the same command again to resume"
    return f"{where}{error.strerror}; {remedy}"


def _fail(error: BaseException, message: str, status: int, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    print(f"goodsam: {printable(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(status)
