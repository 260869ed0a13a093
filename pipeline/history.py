"""What happened to a run: RUN/history.jsonl, a line each time it began, went on or ended.

{"time": "2026-11-26T03:24:34", "step": 40, "event": "went on", "changed": {"steps": [100, 200]}}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from goodsam.data.files import regular, write_whole
from goodsam.stages.adapt.beyond.monitor import Collapse

HISTORY = "history.jsonl"

Event = Literal["began", "went on", "finished", "stopped", "collapsed", "failed"]


def read_history(run: Path) -> list[dict[str, Any]]:
    """The events of a run, oldest first; lines that are torn are left out."""
    path, found = run / HISTORY, []
    if not path.exists():
        return []
    for line in regular(path).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("event"), str):
            found.append(entry)
    return found


def add_event(run: Path, step: int, event: Event, **more: Any) -> None:
    """Add a line, of what happened after `step` steps. A run that begins has no earlier ones."""
    entry = {
        "time": datetime.now().isoformat(timespec="seconds"),
        "step": step,
        "event": event,
        **more,
    }
    before = [] if event == "began" else read_history(run)
    text = "".join(json.dumps(line, default=str) + "\n" for line in [*before, entry])
    write_whole(run / HISTORY, text)


@contextmanager
def end_recorded(run: Path, step: int) -> Iterator[Callable[[int], None]]:
    """How the work in the block ends is added. Gives `at(step)`, to be called after each step."""
    done = step

    def at(step: int) -> None:
        nonlocal done
        done = step

    try:
        yield at
    except Collapse as collapse:
        add_event(run, done + 1, "collapsed", why=str(collapse))
        raise
    except Exception as error:
        add_event(run, done, "failed", why=" ".join(str(error).split()) or type(error).__name__)
        raise
    except BaseException:
        add_event(run, done, "stopped")
        raise
    add_event(run, done, "finished")


def changes(history: list[dict[str, Any]]) -> list[str]:
    """What was changed while the run went on, a line each."""
    return [
        f"at step {entry.get('step')}: {changes_line(entry['changed'])}"
        for entry in history
        if isinstance(entry.get("changed"), dict) and entry["changed"]
    ]


def changes_line(changed: dict[str, Any]) -> str:
    """`steps 100 -> 200, student_lr 2e-05 -> 1e-05`."""
    return ", ".join(f"{name} {before} -> {now}" for name, (before, now) in changed.items())
