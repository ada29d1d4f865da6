"""Which channels matter least: their sensitivities and other statistics, and the order in which they go."""
