-- By status.phase. A sync that waits for a run ends with it, so a run that has ended is Healthy or Degraded.
local why = first(status.message, status.reason)
local words = {
  Pending = is("Progressing", first(why, "waits for its start")),
  Running = is("Progressing", first(why, status.progress)),
  Finalizing = is("Progressing", first(why, "finally steps")),
  Succeeded = is("Healthy"),
  Failed = is("Degraded", first(why, "the run failed")),
  Cancelled = is("Degraded", first(why, "the run was cancelled")),
}
return words[status.phase] or is("Progressing", "the status is not complete yet")
