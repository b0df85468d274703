module sluice.dev/dev/cluster/components/pause

go 1.26.0
