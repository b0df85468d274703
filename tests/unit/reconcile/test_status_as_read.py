"""What was read of a status, apart from what its defaults say."""

from sluice.api.run import PipelineRunStatus
from sluice.reconcile.patches import merge_patch


def test_a_default_that_was_never_written_is_written() -> None:
    """`kubectl get` shows what is stored; the phase of a run that waits was nowhere."""
    read = PipelineRunStatus.model_validate({})
    assert read.as_read() == {}
    assert merge_patch(read.as_read(), read.to_dict())["phase"] == "Pending"


def test_what_was_written_once_is_not_written_again() -> None:
    written = PipelineRunStatus.model_validate({"phase": "Running", "steps": [{"name": "extract"}]})
    again = PipelineRunStatus.model_validate(written.to_dict())
    assert merge_patch(again.as_read(), again.to_dict()) == {}
