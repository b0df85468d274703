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
