-- The field goes, as it was before it was suspended. Where Git states it, Git has the last word.
if (obj.spec or {}).schedule == nil then
  error("this pipeline has no schedule")
end
obj.spec.schedule.suspend = nil
return obj
