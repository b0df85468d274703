"""Where data lies: a module for each kind of store, and the registry of them by the scheme of a uri.

A store either gives DuckDB something to read (`files`, `s3`), or a table that is queried where it is and streamed column
by column where it cannot be (`postgres`).
"""
