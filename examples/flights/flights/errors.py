"""What a step says when it cannot do its work, and the exit code that goes with it.

    StepError              1  the step failed
    +-- BadRequestError    3  what was asked for cannot be done (a day that the table does not hold)
    +-- MissingInputError  4  a file that the step reads is not there
    +-- BadDataError       5  the data contradicts itself; publishing it would spread the mistake

2 is left to argparse (unknown or missing arguments), 143 is a step that was told to stop.
"""

from __future__ import annotations


class StepError(Exception):
    """A failure with a message for the person who reads the log."""

    exit_code = 1


class BadRequestError(StepError):
    """The arguments are well formed, but ask for something that does not exist."""

    exit_code = 3


class MissingInputError(StepError):
    """A file that the step has to read does not exist."""

    exit_code = 4


class BadDataError(StepError):
    """The input breaks a rule that the steps after this one rely on."""

    exit_code = 5
