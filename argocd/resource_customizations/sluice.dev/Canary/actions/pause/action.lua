-- Asks something of the Canary. The second tells this request from the next one of the same words.
local function ask(action)
  local os = require("os")
  obj.metadata.annotations = obj.metadata.annotations or {}
  obj.metadata.annotations["sluice.dev/control"] = action .. ":argocd-" .. os.time()
  return obj
end

return ask("pause")
