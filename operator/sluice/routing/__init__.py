"""Routers: from a route as it is and a wish to the patch that makes it so. One module for each API; pure.

Nothing here talks to a cluster. Who applies the patch is the executor, by way of `kube/`.
"""
