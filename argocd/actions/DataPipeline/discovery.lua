local metadata, status = obj.metadata or {}, obj.status or {}
local schedule = (obj.spec or {}).schedule
local leaving = metadata.deletionTimestamp ~= nil
local suspended = schedule ~= nil and schedule.suspend == true
return {
  ["run-now"] = {
    disabled = leaving or status.health == "Invalid",
    iconClass = "fa fa-fw fa-play",
    displayName = "Run now",
  },
  ["suspend"] = {
    disabled = leaving or schedule == nil or suspended,
    iconClass = "fa fa-fw fa-pause",
    displayName = "Suspend the schedule",
  },
  ["resume"] = {
    disabled = leaving or not suspended,
    iconClass = "fa fa-fw fa-play-circle",
    displayName = "Resume the schedule",
  },
}
