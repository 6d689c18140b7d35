"""A digest of the VM's C++ sources, baked into the library and compared when it is loaded.

Runs in `setup.py` too, before anything is installed: it imports the standard library alone.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

SUFFIXES = (".cpp", ".h", ".inc")


def source_digest(folder: Path) -> str:
    """SHA-256 over names and contents of the C++ files in `folder`, in hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in SUFFIXES:
            digest.update(path.name.encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
