"""The command line, `sluice` or `kubectl sluice`: one thin module a verb, over one module a subject."""
