"""Accepted kernels in the forms other projects load, which need no warpsmith to run.

`find_subject` finds a kernel whose verdict holds; a format's `files` gives what to write. `runtime/` is what every
export brings along.
"""
