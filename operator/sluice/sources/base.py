"""What every metric source is, and how it fails.

    SourceError
      Unreachable      no connection, name not resolved, TLS refused
      TimedOut         no whole answer in time
      Throttled        HTTP 429: ask again later
      Denied           HTTP 401 or 403
      BadQuery         the back end does not understand the query
      BadAnswer        HTTP 5xx, or an answer that is not what the API promises
      TooLarge         the answer is larger than the spec allows; it was not read to its end
      Misconfigured    the spec of the source, or a Secret that it names, cannot work

A source knows how text is put into its queries (`escape`) and how a question is asked (`ask`). It does not judge: NaN, no
series and several series are answers, and `sluice.planning.metrics` says what they come to. A partial answer is no answer:
where a back end says that something is missing, that is a BadAnswer.
"""

from typing import Protocol

from sluice.planning.metrics import Question, Series


class SourceError(Exception):
    """A source could not say what it was asked for. The message says what happened, and never holds a credential."""


class Unreachable(SourceError):
    """No connection came about."""


class TimedOut(SourceError):
    """There was no whole answer in time."""


class Throttled(SourceError):
    """The back end wants to be asked less often."""


class Denied(SourceError):
    """The credentials are missing, wrong or not enough."""


class BadQuery(SourceError):
    """The back end does not understand the query."""


class BadAnswer(SourceError):
    """The answer is not what the API promises."""


class TooLarge(SourceError):
    """The answer is larger than it may be."""


class Misconfigured(SourceError):
    """The spec of the source, or a Secret that it names, cannot work."""


class MetricReader(Protocol):
    """One back end, ready to be asked."""

    def escape(self, text: str) -> str:
        """`text` as it may stand inside a quoted string of this back end's query language.

        Raises Unaskable where the language has no way to write it.
        """
        ...

    async def ask(self, question: Question) -> tuple[Series, ...]:
        """The series that answer `question`. Raises SourceError."""
        ...
