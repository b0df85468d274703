-- By status.health, which says what became of the newest run, and the condition Ready, which says why.
local words = {
  Healthy = is("Healthy"),
  Suspended = is("Suspended", "no run starts by schedule"),
  Failing = is("Degraded", first(condition("Ready").message, "the newest run failed")),
  Invalid = is("Degraded", first(condition("Ready").message, "the spec cannot be acted on")),
}
return words[status.health] or is("Progressing", "the status is not complete yet")
