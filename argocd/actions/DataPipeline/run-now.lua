-- The run that `sluice run` would make, named by the second, with the defaults of all parameters.
local os = require("os")
return {
  {
    operation = "create",
    resource = {
      apiVersion = obj.apiVersion,
      kind = "PipelineRun",
      metadata = {
        name = obj.metadata.name .. "-" .. os.date("!%Y%m%dt%H%M%S"),
        namespace = obj.metadata.namespace,
        labels = {["sluice.dev/pipeline"] = obj.metadata.name},
        ownerReferences = {
          {
            apiVersion = obj.apiVersion,
            kind = obj.kind,
            name = obj.metadata.name,
            uid = obj.metadata.uid,
            controller = true,
            blockOwnerDeletion = true,
          },
        },
      },
      spec = {pipeline = {name = obj.metadata.name}},
    },
  },
}
