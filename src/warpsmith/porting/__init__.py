"""Kernels from elsewhere made into kernel files, as far as their host code says how they are launched.

Nothing is run or imported: host code is read, and what it leaves open is listed. The gate judges the result like any
other.
"""

from warpsmith.porting.draft import Draft, make_draft
from warpsmith.porting.plan import Question

__all__ = ["Draft", "Question", "make_draft"]
