"""What developers use: the cluster, the demo, the benchmarks. Not part of the product."""
