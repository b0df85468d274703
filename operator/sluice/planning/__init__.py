"""The decisions: pure functions from what is wanted and what is seen to a plan. No clock, no I/O, no randomness."""
