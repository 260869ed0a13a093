"""A package, so that none of the same name hides it: label-studio-converter brings one.

Processes that tests start import from here.
"""
