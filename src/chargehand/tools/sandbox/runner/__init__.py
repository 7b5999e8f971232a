"""The launcher that stands between the service and a command where no namespaces do.

It runs as `python -I -S`, a process of its own that sees nothing of the service. Its modules import each other
relatively, because there they are the top-level package `runner`, and only what loads in a millisecond or so.
"""
