"""The kernel to beat, per task, target and source of its times."""

from __future__ import annotations

from warpsmith.core.profile import Profile
from warpsmith.core.record import Record


class Incumbent(Record):
    """An accepted kernel that a challenger must beat. Times of different sources never meet here."""

    task: str
    task_digest: str
    """Of the task file: a changed task starts with no incumbent."""
    candidate: str
    """`Candidate.identity`."""
    kernel: str
    """Digest of the kernel in the library."""
    path: str
    """Folder in the library."""
    profile: Profile

    @property
    def key(self) -> tuple[str, str, str, str]:
        """(task, task digest, target, source)."""
        return self.task, self.task_digest, self.profile.target, self.profile.source.value
