"""What the operator says about itself: metrics and logs. Imports nothing else of sluice."""
