"""Runs compiled plans on an NVIDIA GPU: a worker process that speaks to the driver, and the Launcher in front of it.

`driver` is what is asked of the CUDA driver; `bindings` asks it. `messages` and `channel` are the worker's protocol,
`worker` serves it, `session`, `memory` and `placed` do the work. On this side of the pipe `process` starts workers,
`lease` keeps a GPU to one job at a time, `lowering` turns a RunRequest into a message, `launcher` is the Launcher.
"""
