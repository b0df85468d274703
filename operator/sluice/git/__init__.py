"""What is read from Git repositories. The only place that imports GitPython."""
