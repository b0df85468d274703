-- The run that `sluice rerun` would make, named by the second: what succeeded is taken over, the rest runs again.
local os = require("os")
return {
  {
    operation = "create",
    resource = {
      apiVersion = obj.apiVersion,
      kind = obj.kind,
      metadata = {
        name = obj.spec.pipeline.name .. "-" .. os.date("!%Y%m%dt%H%M%S"),
        namespace = obj.metadata.namespace,
        labels = {
          ["sluice.dev/pipeline"] = obj.spec.pipeline.name,
          ["sluice.dev/rerun-of"] = obj.metadata.name,
        },
        ownerReferences = obj.metadata.ownerReferences,
      },
      spec = {
        pipeline = {name = obj.spec.pipeline.name},
        rerun = {of = obj.metadata.name},
      },
    },
  },
}
