-- A gate that says no does its work. What it came to is told, and what follows from that is the run's or the canary's.
local ready = condition("Ready")
if ready.status == "False" then
  return is("Degraded", first(ready.message, ready.reason))
end
if ready.status ~= "True" then
  return is("Progressing", "the status is not complete yet")
end
return is("Healthy", first(status.verdict))
