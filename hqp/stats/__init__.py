"""Pure numbers: no file, no clock, no device. An estimate is a value with its interval.

Wrong arguments raise ``ValueError``: they are mistakes of the caller, not of the user.
"""
