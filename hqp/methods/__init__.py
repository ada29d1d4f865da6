"""Methods: one file each.

A file defines ``recipe``, a frozen ``Recipe``: what is pruned by which criterion, what is quantised, what is verified.
"""
