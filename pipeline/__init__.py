"""How the stages are put together and offered: configuration, command line, whole runs."""
