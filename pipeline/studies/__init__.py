"""Whole runs, callers of the verbs."""
