"""The one error of this package: something a person has to know, said in full, with what to do about it."""


class ClusterError(Exception):
    """What happened, where, and what to do. Printed without a traceback."""
