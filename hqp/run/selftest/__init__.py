"""The gate on slow-downs, tried on itself: identical files, and files that are slower by a known share."""
