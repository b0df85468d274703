-- Holds as long as Git does not state spec.schedule.suspend itself.
if (obj.spec or {}).schedule == nil then
  error("this pipeline has no schedule")
end
obj.spec.schedule.suspend = true
return obj
