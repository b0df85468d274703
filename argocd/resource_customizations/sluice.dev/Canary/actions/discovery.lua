-- Where each request can be met, as docs/canaries.md says. The operator decides; this only greys out what it would refuse.
local phase = (obj.status or {}).phase
local paused = (obj.status or {}).paused ~= nil
local leaving = (obj.metadata or {}).deletionTimestamp ~= nil or phase == nil or phase == "Leaving" or phase == "Gone"

local function one_of(...)
  for index = 1, select("#", ...) do
    if select(index, ...) == phase then
      return not leaving
    end
  end
  return false
end

local under_way =
  one_of("Holding", "Preparing", "Previewing", "Stepping", "Approving", "Switching", "Watching", "Keeping")
return {
  ["promote"] = {
    disabled = not one_of("Previewing", "Stepping", "Approving", "Watching", "Keeping"),
    iconClass = "fa fa-fw fa-step-forward",
    displayName = "Promote",
  },
  ["promote-full"] = {
    disabled = not under_way,
    iconClass = "fa fa-fw fa-fast-forward",
    displayName = "Promote without gates and watch",
  },
  ["pause"] = {disabled = leaving or paused, iconClass = "fa fa-fw fa-pause", displayName = "Pause"},
  ["resume"] = {disabled = leaving or not paused, iconClass = "fa fa-fw fa-play", displayName = "Resume"},
  ["skip"] = {
    disabled = not one_of("Stepping"),
    iconClass = "fa fa-fw fa-forward",
    displayName = "Skip the rest of the step",
  },
  ["abort"] = {disabled = not under_way, iconClass = "fa fa-fw fa-undo", displayName = "Abort and roll back"},
  ["retry"] = {disabled = not one_of("Failed"), iconClass = "fa fa-fw fa-redo", displayName = "Retry"},
}
