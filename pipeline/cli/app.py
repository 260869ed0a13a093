"""The command `goodsam`.

Exit status: 0 done; 2 wrong usage or input, found before work began; 1 anything that failed or was
skipped after that. An error is one line; `--debug` anywhere adds the traceback. Heavy modules are
imported inside the commands, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from goodsam.data.errors import InputError
from goodsam.pipeline.cli import (
    ablate,
    bench,
    cache,
    cache_sam,
    data,
    demo,
    evaluate,
    export,
    frames,
    label,
    predict,
    reproduce,
    settings,
    source,
    teachers,
    train,
    world,
)
from goodsam.stages.memory import keep_freed_memory

app = typer.Typer(
    name="goodsam",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # drawing boxes takes a third of a second, the rest of --help a tenth
    help="Panoramic segmentation without labels: SAM's masks and a SegFormer's classes, fused and "
    "taught to a small student (GoodSAM, CVPR 2024).",
)
app.command("demo")(demo.demo)
app.command("world")(world.world)
app.command("cache-sam")(cache_sam.cache_sam)
app.command("train")(train.train)
app.command("eval")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("frames")(frames.frames)
app.command("label")(label.label)
app.command("export")(export.export)
app.command("source")(source.source)
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
) -> None:
    """Options of every command. `--debug` has been taken out by `main` before this is called."""


def main() -> None:
    """Run the command; turn errors into one line and an exit status."""
    keep_freed_memory()
    debug = "--debug" in sys.argv
    sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except InputError as error:
        _fail(error, str(error), 2, debug)
    except KeyboardInterrupt as error:
        _fail(error, "stopped; start the same command again to resume", 130, debug)
    except Exception as error:
        what = str(error) or type(error).__name__
        _fail(error, f"{what} (--debug shows where)", 1, debug)


def _fail(error: BaseException, message: str, status: int, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)
    print(f"goodsam: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
