"""Data checks: compiled to SQL (pure), run with DuckDB, reported as evidence. Runs in a step pod or on a laptop."""
