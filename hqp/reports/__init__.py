"""Reports: one file each.

A file defines ``render(results: Results) -> str`` and ``suffix``, the file ending of what it renders. A report never
measures and never judges: all it says stands in the results, but for the history, which stands in git.
"""
