"""How work on a remote repository fails.

    GitError
      BadAddress     the repository, branch, revision or credential is not one that is allowed
      Unreachable    no connection, or it broke
      Refused        the server wants another credential, or does not allow it
      NotThere       there is no such repository, branch or revision
      TooLarge       what was fetched outgrew its limit
      TooSlow        a process of git took longer than its limit
      Behind         a push was refused, since somebody else pushed
      Conflicting    the change does not fit what the branch is by now

No message holds a credential.
"""


class GitError(Exception):
    """Git could not do what it was asked for. The message says what, and why."""


class BadAddress(GitError):
    """A name that is not allowed: nothing was asked of anybody."""


class Unreachable(GitError):
    """There is no connection."""


class Refused(GitError):
    """The server refused the credential, or what it was asked for."""


class NotThere(GitError):
    """The server knows no such repository, branch or revision."""


class TooLarge(GitError):
    """What was fetched is larger than it may be. It was given up, and removed."""


class TooSlow(GitError):
    """A process of git was ended at its time limit."""


class Behind(GitError):
    """The branch is not what it was when it was fetched."""


class Conflicting(GitError):
    """The change cannot be made without a person."""
