"""The workflows, one file each: the only place that knows every part."""
