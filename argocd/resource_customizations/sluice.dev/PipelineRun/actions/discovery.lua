local status = obj.status or {}
local ended = status.phase == "Succeeded" or status.phase == "Failed" or status.phase == "Cancelled"
return {
  ["cancel"] = {
    disabled = ended or (obj.spec or {}).cancel == true,
    iconClass = "fa fa-fw fa-stop",
    displayName = "Cancel",
  },
}
