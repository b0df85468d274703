-- What every health script begins with. Any field may be missing: an object that has just been created has no status.
local status = obj.status or {}

local function is(health, message)
  return {status = health, message = message or ""}
end

local function condition(name)
  for _, row in ipairs(status.conditions or {}) do
    if row.type == name then
      return row
    end
  end
  return {}
end

-- The first of the texts that says something.
local function first(...)
  for index = 1, select("#", ...) do
    local text = select(index, ...)
    if text ~= nil and text ~= "" then
      return text
    end
  end
  return ""
end

local seen = tonumber(status.observedGeneration)
if seen == nil then
  return is("Progressing", "sluice has not looked at it yet")
end
if seen < (tonumber((obj.metadata or {}).generation) or 0) then
  return is("Progressing", "sluice has not looked at the newest change yet")
end

-- By status.phase, status.paused, and the condition Stalled, which says that it cannot go on.
local why = first(status.message, status.reason)
if condition("Stalled").status == "True" then
  return is("Degraded", first(why, "it cannot go on"))
end
-- What a pause keeps from going on.
local waits = {
  Holding = true,
  Preparing = true,
  Previewing = true,
  Stepping = true,
  Approving = true,
  Switching = true,
  Watching = true,
  Keeping = true,
}
if waits[status.phase] and status.paused ~= nil then
  local by = first(status.paused.by)
  local who = "paused"
  if by ~= "" then
    who = who .. " by " .. by
  end
  return is("Suspended", who .. ": " .. first(why, status.phase))
end
if status.phase == "Approving" then
  return is("Suspended", first(why, "waits for promote"))
end
if status.phase == "Stable" then
  if status.paused ~= nil then
    return is("Healthy", "paused: the next revision waits for resume")
  end
  return is("Healthy")
end
if status.phase == "Failed" then
  return is("Degraded", first(why, "the revision failed"))
end
if status.phase == "RollingBack" then
  return is("Degraded", first(why, "the candidate is taken out"))
end
local at = ""
if waits[status.phase] and tonumber(status.weight) ~= nil then
  at = "weight " .. tonumber(status.weight) .. " %: "
end
return is("Progressing", at .. first(why, status.phase, "the status is not complete yet"))
