"""The one error a user is meant to read."""


class InputError(ValueError):
    """Wrong input, found at the door: one line saying which file, what is wrong, what to do.

    The command line prints it without a traceback and ends with exit status 2.
    """
