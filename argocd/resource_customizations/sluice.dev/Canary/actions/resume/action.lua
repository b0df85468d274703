-- Asks something of the Canary. The second, and which state of the Canary was looked at, tell this request from the next
-- one of the same words: two may be made within a second.
local function ask(action)
  local os = require("os")
  local seen = obj.metadata.resourceVersion
  obj.metadata.annotations = obj.metadata.annotations or {}
  obj.metadata.annotations["sluice.dev/control"] = action .. ":argocd-" .. os.time() .. (seen and "-" .. seen or "")
  return obj
end

return ask("resume")
