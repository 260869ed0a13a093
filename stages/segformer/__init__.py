"""SegFormers, the networks of teacher assistant and student: built, loaded, saved, and in use."""
