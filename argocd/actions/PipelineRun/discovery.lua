local status = obj.status or {}
local failed = status.phase == "Failed" or status.phase == "Cancelled"
local ended = failed or status.phase == "Succeeded"
local leaving = (obj.metadata or {}).deletionTimestamp ~= nil
return {
  ["cancel"] = {
    disabled = ended or (obj.spec or {}).cancel == true,
    iconClass = "fa fa-fw fa-stop",
    displayName = "Cancel",
  },
  -- A run that never started has nothing to take over.
  ["rerun-failed"] = {
    disabled = leaving or not failed or status.startedAt == nil,
    iconClass = "fa fa-fw fa-redo",
    displayName = "Run again what failed",
  },
}
