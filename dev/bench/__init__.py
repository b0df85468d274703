"""Measures the operator on a cluster and compares the figures with `ranges.yaml`: `python -m dev.bench --help`.

    __main__  ->  measurements/*  ->  bench  ->  recorder, counters, manifests
       `->  figures (values, ranges, the table)

    rollback (a program of its own)  ->  shop, requests, rollback_figures (pure)

Load is generated through the API server as users do it, the pods of most measurements are simulated (kwok), and what is
measured is what a watch of our own sees. The operator's own metrics stand beside, for comparison only.
"""
