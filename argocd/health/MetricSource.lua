-- Whether it answered when it was last asked.
local ready = condition("Ready")
if ready.status == "False" then
  return is("Degraded", first(ready.message, ready.reason))
end
if ready.status ~= "True" then
  return is("Progressing", "the status is not complete yet")
end
return is("Healthy", first(ready.message))
