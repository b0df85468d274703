"""sluice: a Kubernetes operator for data pipelines that are managed from Git."""

__version__ = "0.1.0"
