"""What a Jetson board tells of itself: module, releases, power mode, clocks, temperatures, power."""
