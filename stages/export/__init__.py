"""Out of the door: a trained network for transformers, other runtimes, and browsers."""
