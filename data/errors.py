"""The one error a user is meant to read."""


class InputError(ValueError):
    """Wrong input, found at the door: one line saying which file, what is wrong, what to do.

    The command line prints it without a traceback and ends with exit status 2.

    >>> from goodsam import Windows
    >>> try:
    ...     Windows(400, 2048, window=512, stride=600)
    ... except InputError as error:
    ...     print(str(error)[:50])
    stride 600 is larger than the window 512 and would
    """
