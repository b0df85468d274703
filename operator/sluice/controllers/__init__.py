"""The Kopf shell: handlers, admission, start and stop. The only package that imports kopf."""
