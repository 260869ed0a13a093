"""What a journal keeps."""

from __future__ import annotations

import json

from goodsam.stages.adapt.watch import read_rows


def test_rows_of_a_journal_up_to_a_step_without_one_that_was_cut_off(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_rows(path) == []
    rows = [{"step": step, "loss": 2.0} for step in (1, 2)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 3, "lo')
    assert read_rows(path) == rows
    assert read_rows(path, 1) == rows[:1]
