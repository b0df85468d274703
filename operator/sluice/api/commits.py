"""The commit that a revision comes from, as it stands in a status."""

from pydantic import Field

from sluice.api.base import StatusModel, Time


class CommitRecord(StatusModel):
    """The commit that a revision comes from, as far as it is known."""

    revision: str = Field(description="The revision.")
    id: str = Field(default="", description="Id of the commit.")
    author: str = Field(default="", description="Who wrote it.")
    message: str = Field(default="", description="First line of its message.")
    time: Time | None = Field(default=None, description="When it was committed.")
    repository: str = Field(default="", description="URL of the repository.")
    path: str = Field(default="", description="Folder in it that Argo CD applies.")
    problem: str = Field(default="", description="Why no more is known.")
