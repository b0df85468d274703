"""Metric sources: one module for each back end behind the protocol of `sluice.sources.base`."""
