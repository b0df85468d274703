"""The API: one module per kind, the models that the CRDs are generated from. Pure: no I/O, no clock."""
