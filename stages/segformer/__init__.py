"""SegFormers: built, loaded, saved, and in use."""
