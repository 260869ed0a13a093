"""What lies on disk, and its geometry. Knows no model."""
