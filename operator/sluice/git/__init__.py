"""Git: local repositories as trees, remote ones by small bare clones. The only place that imports GitPython.

All of it blocks, with a time limit; callers use threads.
"""
