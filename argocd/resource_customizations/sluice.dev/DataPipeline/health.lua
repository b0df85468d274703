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

-- By status.health, which says what became of the newest run, and the condition Ready, which says why.
local words = {
  Healthy = is("Healthy"),
  Suspended = is("Suspended", "no run starts by schedule"),
  Failing = is("Degraded", first(condition("Ready").message, "the newest run failed")),
  Invalid = is("Degraded", first(condition("Ready").message, "the spec cannot be acted on")),
}
return words[status.health] or is("Progressing", "the status is not complete yet")
