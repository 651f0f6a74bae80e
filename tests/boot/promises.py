# SPDX-License-Identifier: Apache-2.0
"""What a node has promised to keep, told by the log of its disk's writes: the model that disks after a power cut are held
against.

A change begins after some entry of the log and is acknowledged after a later one. A cut before the first must not show it, a
cut after the second must, and in between both are right. For the contents of a disk the same holds sector by sector: a
guest's write may be there in part until a flush behind it is acknowledged.
"""
import hashlib
import pathlib

SECTOR = 512
PRESENT = "present"  # a value of which nothing but its being there is known


class Change:
    """One object's new value: None when it is deleted. `end` None: not acknowledged."""

    def __init__(self, value, begin):
        self.value = value
        self.begin = begin
        self.end = None


class Write:
    """A guest's write of `data`, whole sectors. Disks that share it through a snapshot share this object."""

    def __init__(self, sector, data, begin):
        assert len(data) % SECTOR == 0
        self.sector = sector
        self.data = data
        self.begin = begin
        self.end = None

    def sectors(self):
        return range(self.sector, self.sector + len(self.data) // SECTOR)

    def part(self, sector):
        """What was written into one of them."""
        return self.data[(sector - self.sector) * SECTOR:][:SECTOR]


def known(change, count):
    """Is the change acknowledged when `count` entries are in the log?"""
    return change.end is not None and change.end <= count


class Promises:
    """Objects are called ("image", NAME), ("disk", NAME) and ("setting", NAME)."""

    def __init__(self):
        self.changes = {}  # object -> list of Change, oldest first
        self.writes = {}  # disk -> list of Write, oldest first
        self.bases = {}  # disk -> the snapshot that it was made upon last

    # ---- what the node is asked for, and answers ----

    def begin(self, count, **changes_by_kind):
        """Changes that are about to be asked for: kind -> {name: value}. Returns them for acknowledge()."""
        begun = []
        for kind, values in changes_by_kind.items():
            for name, value in values.items():
                change = Change(value, count)
                self.changes.setdefault((kind, name), []).append(change)
                begun.append(change)
        return begun

    def begin_write(self, count, disk, sector, data):
        write = Write(sector, data, count)
        self.writes.setdefault(disk, []).append(write)
        return write

    @staticmethod
    def acknowledge(count, begun):
        for change in begun:
            change.end = count

    def flushed(self, count, disk):
        """A flush, or what implies one, is acknowledged: of all writes that were done before."""
        self.acknowledge(count, [write for write in self.writes.get(disk, []) if write.end is None])

    def inherit(self, disk, other):
        """`disk` begins with what `other` holds."""
        self.writes[disk] = list(self.writes.get(other, []))

    def base_contents(self, disk, size):
        """What the snapshot holds that a disk of this size is made upon, zeros without one."""
        contents = bytearray(size)
        for write in self.writes.get(self.bases.get(disk), []):
            first = write.sector * SECTOR
            contents[first:first + len(write.data)] = write.data
        return bytes(contents)

    def acknowledged(self):
        """The moments at which the node has promised something, in order."""
        every = [change.end for changes in (*self.changes.values(), *self.writes.values()) for change in changes]
        return sorted({end for end in every if end is not None})

    def unknown(self):
        """(object, change) of values that the node has made and kept to itself, in the order of their acknowledgement."""
        every = [(thing, change) for thing, changes in self.changes.items() for change in changes if change.value == PRESENT]
        return sorted((pair for pair in every if pair[1].end is not None), key=lambda pair: pair[1].end)

    # ---- what is there after a cut ----

    def problems(self, count, report, folder):
        """What is wrong with a store-replay's report about a disk whose power went after `count` entries.

        `folder` has the contents of images and disks. An empty list is what is hoped for.
        """
        if "Error" in report:
            return [f"the store cannot be opened: {report['Error']}"]
        found = [f"check: {report['Check']['Text']}"] if report["Check"]["Problems"] else []
        there = objects(report)
        for thing in sorted(set(self.changes) | set(there)):
            found += self._object_problems(count, thing, there.get(thing))
        for image in report["Images"]:
            if hashlib.sha256(pathlib.Path(folder, str(image["Id"])).read_bytes()).hexdigest() != image["Sha256"].lower():
                found.append(f"image {image['Name']} is not what its digest says")
        for disk in report["Disks"]:
            found += self._content_problems(count, disk, pathlib.Path(folder, str(disk["Id"])).read_bytes())
        return found

    def _object_problems(self, count, thing, value):
        """Right are the last value that is acknowledged, and those that were asked for since."""
        right = [None]
        for change in self.changes.get(thing, []):
            if known(change, count):
                right = [change.value]
            elif change.begin < count:
                right.append(change.value)
        if value in right or (value is not None and PRESENT in right):
            return []
        return [f"{' '.join(thing)} is {value}, expected {' or '.join(map(str, right))}"]

    def _content_problems(self, count, disk, data):
        """What is acknowledged lies over zeros in the order in which it was written; the rest may lie over it."""
        expected = bytearray(disk["Size"])
        others = {}  # sector -> what it may hold as well
        for write in self.writes.get(disk["Name"], []):
            if known(write, count):
                expected[write.sector * SECTOR:write.sector * SECTOR + len(write.data)] = write.data
                others = {sector: parts for sector, parts in others.items() if sector not in write.sectors()}
            elif write.begin < count:
                for sector in write.sectors():
                    others.setdefault(sector, set()).add(write.part(sector))
        for sector, parts in others.items():
            part = data[sector * SECTOR:][:SECTOR]
            if part in parts:
                expected[sector * SECTOR:(sector + 1) * SECTOR] = part
        if data == expected:
            return []
        wrong = [at // SECTOR for at in range(0, len(expected), SECTOR) if data[at:at + SECTOR] != expected[at:at + SECTOR]]
        return [f"disk {disk['Name']}: {len(wrong)} sectors from {wrong[0] if wrong else 'the end'} on hold something else"]


def objects(report):
    """Object -> value, of a report of store-replay."""
    there = {("setting", s["Name"]): s["Sha256"].lower() for s in report["Settings"]}
    there.update({("image", i["Name"]): i["Sha256"].lower() for i in report["Images"]})
    there.update({("disk", d["Name"]): disk_value(d["Size"], d.get("Parent"), d["ReadOnly"]) for d in report["Disks"]})
    return there


def disk_value(size, parent=None, read_only=False):
    return f"{size} bytes, {'read-only' if read_only else 'writable'}, on {parent or 'nothing'}"
