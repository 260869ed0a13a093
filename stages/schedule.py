"""The learning-rate schedule of both trainings."""


def poly_schedule(step: int, steps: int, warmup: int) -> float:
    """Factor on the learning rate at `step` of `steps`: linear warm-up, then linear to zero."""
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(0.0, (steps - step) / max(1, steps - warmup))
