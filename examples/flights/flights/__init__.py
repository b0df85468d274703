"""One day of New York flights, from CSV to a published partition: a module a step, run as ``python -m flights.NAME``.

The graph is in ``pipeline.yaml``: extract -> screen -> clean -> (enrich, delays) -> audit -> publish, and report in the
end whatever happened; screen and audit are the gates in ``gates/``. Every step may be run again with the same
arguments: it writes beside its target, then renames.
"""
