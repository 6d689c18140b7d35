"""Device memory whose neighbourhood is watched: a buffer ends where its mapping ends, or lies between redzones.

With virtual memory management a buffer ends at an unmapped address, so that an access past it faults (to within the
alignment its first byte has to keep), and so does one before its first page. Bytes of its own pages that are not the
buffer's are filled and compared afterwards. Without it, a plain allocation has such redzones on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from warpsmith.sandbox.device.driver import Bytes, Driver

REDZONE = 4096
"""Bytes watched on a side at most."""
STRICT, LOOSE = 16, 256
"""Alignments of a buffer's first byte: what a launcher promises, and what an allocator gives."""


@dataclass(slots=True)
class Region:
    """One buffer's memory."""

    address: int
    nbytes: int
    base: int
    """Of the reservation or the allocation."""
    reserved: int
    """Bytes of the reservation; 0 for a plain allocation."""
    start: int
    """First mapped address."""
    end: int
    """One past the last."""
    handle: int | None = None
    mapped: bool = False

    @property
    def guarded(self) -> bool:
        return self.reserved > 0

    @property
    def zones(self) -> tuple[tuple[int, int], ...]:
        """(address, bytes) of the redzones."""
        front = min(self.address - self.start, REDZONE)
        back = min(self.end - self.address - self.nbytes, REDZONE)
        zones = ((self.address - front, front), (self.address + self.nbytes, back))
        return tuple(zone for zone in zones if zone[1])


@dataclass(slots=True)
class GuardedMemory:
    """The buffers of one call."""

    driver: Driver
    stream: int
    virtual: bool
    """Whether mappings can be made; else plain allocations serve."""
    alignment: int = LOOSE
    _regions: list[Region] = field(default_factory=list)
    _pattern: Bytes = field(default_factory=lambda: np.random.default_rng(11).integers(0, 256, REDZONE, np.uint8))

    def place(self, nbytes: int) -> Region:
        """Memory for a buffer; its redzones are filled, its own bytes are not."""
        region = self._guarded(nbytes) if self.virtual else self._plain(nbytes)
        self._regions.append(region)
        self._fill_zones(region)
        return region

    def hide(self, region: Region) -> None:
        """Unmap a region where that is possible: an access faults. Its bytes are lost to the caller until `show`."""
        if region.mapped:
            self.driver.unmap(region.start, region.end - region.start)
            region.mapped = False

    def show(self, region: Region) -> None:
        """Map it again, with what it held."""
        if region.handle is not None and not region.mapped:
            self.driver.map(region.start, region.end - region.start, region.handle)
            region.mapped = True

    def damaged(self, region: Region) -> int | None:
        """Distance of a changed redzone byte: from the end (0 is the byte behind it), or negative before the start."""
        for address, size in region.zones:
            found = np.empty(size, np.uint8)
            self.driver.download(found, address, self.stream)
            changed = np.flatnonzero(found != self._pattern[:size])
            if not changed.size:
                continue
            if address < region.address:
                return int(changed[-1]) - size
            return int(changed[0])
        return None

    def free(self) -> None:
        """Give everything back."""
        while self._regions:
            region = self._regions.pop()
            if not region.guarded:
                self.driver.free(region.base)
                continue
            if region.handle is not None:
                self.hide(region)
                self.driver.release(region.handle)
            self.driver.unreserve(region.base, region.reserved)

    def _guarded(self, nbytes: int) -> Region:
        page, taken = self.driver.granularity(), _round_up(nbytes, self.alignment)
        if self.alignment == STRICT and taken % LOOSE == 0 and taken:
            taken += STRICT  # No better aligned than promised.
        mapped = _round_up(taken, page)
        reserved = mapped + 2 * page
        base = self.driver.reserve(reserved)
        start, end = base + page, base + page + mapped
        region = Region(end - taken, nbytes, base, reserved, start, end)
        if mapped:
            region.handle = self.driver.create(mapped)
            self.show(region)
        return region

    def _plain(self, nbytes: int) -> Region:
        # An allocation is aligned to 256 bytes; a strict address is 16 bytes beyond one that is.
        front = REDZONE + (STRICT if self.alignment == STRICT else 0)
        size = front + nbytes + REDZONE
        base = self.driver.allocate(size)
        return Region(base + front, nbytes, base, 0, base, base + size)

    def _fill_zones(self, region: Region) -> None:
        for address, size in region.zones:
            self.driver.upload(address, self._pattern[:size], self.stream)


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
