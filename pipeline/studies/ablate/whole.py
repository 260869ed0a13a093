"""A whole table: all its rows on all seeds, written after each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from goodsam.pipeline.studies.ablate.cost import estimate
from goodsam.pipeline.studies.ablate.results import write_results
from goodsam.pipeline.studies.ablate.runs import Say, Study, finished, place_of, run_row
from goodsam.pipeline.studies.ablate.tables import Table
from goodsam.pipeline.tell import duration


def run_table(study: Study, name: str, table: Table, seeds: Sequence[int], say: Say) -> str:
    """Do all rows on all seeds, or what is left; returns the Markdown.

    Seed by seed, so that after the first one the whole table can be seen.
    """
    table = study.table(table)
    for row in table.rows:
        study.config(row, seeds[0])  # a wrong setting is found before the first hour
    done: dict[tuple[str, int], dict[str, Any]] = {}
    places = {seed: place_of(study, seed) for seed in seeds}
    todo = []
    for seed in seeds:
        for row in table.rows:
            record = finished(study, row, places[seed], seed)
            if record is None:
                todo.append((row, seed))
            else:
                done[row.name, seed] = record
    text = write_results(study.out, name, table, seeds, done)
    cost = f": {estimate(study, todo, places)}" if todo else ""
    say(f"{len(done)} of {len(done) + len(todo)} runs are done, {len(todo)} to do{cost}")
    began = time.monotonic()
    for count, (row, seed) in enumerate(todo):
        started = time.monotonic()
        record = run_row(study, row, places[seed], seed, say)
        done[row.name, seed] = record
        text = write_results(study.out, name, table, seeds, done)
        now = time.monotonic()
        left = (now - began) / (count + 1) * (len(todo) - count - 1)
        scores = ", ".join(f"{c} {s['miou']:.2f}" for c, s in record["scores"].items())
        say(
            f"{row.name}, seed {seed}: {scores} ({duration(now - started)}; "
            f"about {duration(left)} left)"
        )
    return text
