-- By status.phase, and the conditions Stalled (it cannot go on) and Paused (somebody has to say how).
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
local halted = status.paused ~= nil or condition("Paused").status == "True" or status.phase == "Approving"
if waits[status.phase] and halted then
  return is("Suspended", first(why, "it waits for somebody"))
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
