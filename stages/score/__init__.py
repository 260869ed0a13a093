"""What predictions are worth, with labels and without."""
