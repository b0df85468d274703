"""The only place that imports `kubernetes`: client, cache, informers, events, and the errors they raise."""
