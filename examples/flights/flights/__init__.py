"""One day of New York flights, from CSV to a published partition: a module a step, run as ``python -m flights.NAME``.

The graph is in ``pipeline.yaml``: extract -> clean -> (enrich, delays) -> publish, and report in the end whatever
happened. Every step may be run again with the same arguments: it writes beside its target, then renames.
"""
