# SPDX-License-Identifier: Apache-2.0
"""The log of a disk's writes that QEMU keeps (NodeConfig.disk_log), and what a power cut may have left of them.

The format is that of Linux' dm-log-writes (drivers/md/dm-log-writes.c, block/blklogwrites.c in QEMU): a super block, then
entries in the order in which they were done, each a header and its data, all in units of one sector size.

A write that is done may lie in the disk's cache until a flush is done. PowerCuts makes the disk of any moment: what a flush
covers is there, and of what came later each write is there, is lost, or has reached the medium in part, sector by sector,
whatever became of the others.
"""
import collections
import contextlib
import os
import struct

MAGIC = 0x6A736677736872
VERSION = 1
SUPER = struct.Struct("<QQQL")  # magic, version, entries, bytes of a sector
HEADER = struct.Struct("<QQQQ")  # sector, sectors, flags, bytes of data (of a mark)
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SECTOR_SIZES = (512, 1024, 2048, 4096)

# sector, sectors: of the disk; at: where the log file has the data.
Entry = collections.namedtuple("Entry", "sector sectors flags at")

LOST, KEPT, TORN = "lost", "kept", "torn"
# What becomes of the writes that no flush covers; each cut draws one of these.
FATES = ("lost", "kept", "any", "any", "one kept", "last torn")


class DiskLogError(ValueError):
    """The file is not a log, or ends in the middle of it."""


def entry_count(path):
    """How many entries the log of a running emulator has by now, all of them complete."""
    with open(path, "rb") as file:
        head = file.read(SUPER.size)
    if not any(head):
        return 0  # nothing was written yet
    return _parse_super(head)[0]


def _parse_super(head):
    """Entries and bytes of a sector."""
    if len(head) < SUPER.size:
        raise DiskLogError("no super block")
    magic, version, count, size = SUPER.unpack(head)
    if magic != MAGIC or version != VERSION:
        raise DiskLogError(f"no log of version {VERSION}: magic {magic:#x}, version {version}")
    if size not in SECTOR_SIZES:
        raise DiskLogError(f"sectors of {size} bytes")
    return count, size


class DiskLog:
    """A log that is complete. Entries are read at once, their data when they are asked for."""

    def __init__(self, path):
        self._file = open(path, "rb")
        try:
            count, self.sector_size = _parse_super(self._file.read(SUPER.size))
            self.entries = self._read_entries(count, os.fstat(self._file.fileno()).st_size)
        except DiskLogError:
            self._file.close()
            raise

    def _read_entries(self, count, end):
        entries, at = [], self.sector_size
        for number in range(count):
            header = os.pread(self._file.fileno(), HEADER.size, at)
            if len(header) < HEADER.size:
                raise DiskLogError(f"the log ends before entry {number} of {count}")
            sector, sectors, flags, length = HEADER.unpack(header)
            if flags & ~(FLUSH | FUA | DISCARD | MARK):
                raise DiskLogError(f"entry {number} has flags {flags:#x}")
            entries.append(Entry(sector, 0 if flags & MARK else sectors, flags, at + self.sector_size))
            at += self.sector_size
            if flags & MARK:
                at += -(-length // self.sector_size) * self.sector_size
            elif not flags & DISCARD:
                at += sectors * self.sector_size
            if at > end:
                raise DiskLogError(f"the log ends in entry {number} of {count}")
        return entries

    def data(self, entry, first=0, sectors=None):
        """What was written, or some sectors of it; zeros for a discard, which is one of the things it may do."""
        length = (entry.sectors - first if sectors is None else sectors) * self.sector_size
        if entry.flags & DISCARD:
            return bytes(length)
        return os.pread(self._file.fileno(), length, entry.at + first * self.sector_size)

    def flushes(self):
        """Numbers of the entries that are flushes."""
        return [number for number, entry in enumerate(self.entries) if entry.flags & FLUSH]

    def close(self):
        self._file.close()


class PowerCuts:
    """A disk image on which a log is replayed, from one power cut to the next later one.

    `image` must be what the disk was when the log began; it is changed. With `lies` the disk acknowledges flushes and makes
    none: a fault that whoever checks the disk has to find.
    """

    def __init__(self, log, image, lies=False):
        self._log = log
        self._file = open(image, "r+b", buffering=0)
        self._lies = lies
        self._pending = []  # entries that are done, and that no flush covers
        self._next = 0  # the first entry that is not done

    def close(self):
        self._file.close()

    def _put(self, entry, first, sectors):
        size = self._log.sector_size
        os.pwrite(self._file.fileno(), self._log.data(entry, first, sectors), (entry.sector + first) * size)

    def _advance(self, count):
        """The first `count` entries are done."""
        if count < self._next:
            raise ValueError(f"the cut at {count} comes before {self._next}")
        for entry in self._log.entries[self._next:count]:
            if entry.flags & FLUSH and not self._lies:
                for done in self._pending:
                    self._put(done, 0, done.sectors)
                self._pending.clear()
            if entry.sectors and entry.flags & FUA:
                self._put(entry, 0, entry.sectors)
            elif entry.sectors:
                self._pending.append(entry)
        self._next = count

    def _uncovered(self, count, flush_missing):
        """What is done when `count` entries are, and no flush covers; as if the last one had failed, with flush_missing."""
        last = max((n for n in range(self._next, count) if self._log.entries[n].flags & FLUSH), default=None)
        if not flush_missing or last is None:
            self._advance(count)
            return list(self._pending)
        self._advance(last)
        return self._pending + [entry for entry in self._log.entries[last:count] if entry.sectors]

    @contextlib.contextmanager
    def cut(self, count, fate, rng, flush_missing=False):
        """The image as the disk is when the power goes after `count` entries, for the time of a `with` block.

        `fate` is one of FATES. Counts may not become smaller from one cut to the next.
        """
        before = []
        try:
            for entry, first, sectors in survivors(self._uncovered(count, flush_missing), fate, rng):
                at = (entry.sector + first) * self._log.sector_size
                before.append((at, os.pread(self._file.fileno(), sectors * self._log.sector_size, at)))
                self._put(entry, first, sectors)
            yield
        finally:
            for at, data in reversed(before):
                os.pwrite(self._file.fileno(), data, at)


def survivors(writes, fate, rng):
    """(entry, first sector of it, sectors) of all that has reached the medium, oldest first."""
    chosen = rng.randrange(len(writes)) if writes else 0
    for index, entry in enumerate(writes):
        own = fate
        if fate == "any":
            own = rng.choice((LOST, KEPT, TORN))
        elif fate == "one kept":
            own = KEPT if index == chosen else LOST
        elif fate == "last torn":
            own = TORN if index == len(writes) - 1 else KEPT
        if own == KEPT:
            yield entry, 0, entry.sectors
        elif own == TORN:
            for sector in range(entry.sectors):
                if rng.getrandbits(1):
                    yield entry, sector, 1
