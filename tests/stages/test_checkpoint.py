from goodsam.stages.checkpoint import latest_checkpoint, prune_checkpoints


def test_the_newest_checkpoints_stay_and_nothing_half_written(tmp_path):
    for step in (1, 2, 3):
        (tmp_path / f"step_{step:07d}.safetensors").touch()
    (tmp_path / ".step_0000003.safetensors.7.writing").touch()  # of a process that was killed
    (tmp_path / "mine.txt").touch()
    prune_checkpoints(tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "mine.txt",
        "step_0000002.safetensors",
        "step_0000003.safetensors",
    ]
    newest = latest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.name == "step_0000003.safetensors"
