# SPDX-License-Identifier: Apache-2.0
"""What test_power_cut.py of the booted tier stands on, without an emulator: logs of writes, disks after power cuts, promises,
and store-replay."""
import hashlib
import json
import random
import struct
import subprocess

import pytest

from tests.boot.promises import PRESENT, Promises, disk_value
from tests.sim.simulated import BUILD, Simulation
from tools.emul import NodeConfig
from tools.emul.config import copy_sparse
from tools.emul.disk_log import DISCARD, FATES, FLUSH, FUA, MAGIC, MARK, DiskLog, DiskLogError, PowerCuts, entry_count

STORE_REPLAY = BUILD / "store-replay"
SECTOR = 512
DISK_SECTORS = 32
STATE_ENTRY_AT = 1024 + 3 * 128  # the fourth of the partition table (UEFI "GPT Partition Entry Array")


# ---- logs ----------------------------------------------------------------------------------------


def sectors(letter, count=1):
    return letter.encode() * SECTOR * count


def make_log(path, *entries, count=None, head=None):
    """Entries are (sector, data, flags); a discard's data are a number of sectors."""
    body = b""
    for sector, data, flags in entries:
        size = data if flags & DISCARD else len(data) // SECTOR
        header = struct.pack("<QQQQ", sector, 0 if flags & MARK else size, flags, len(data) if flags & MARK else 0)
        body += header.ljust(SECTOR, b"\0") + (b"" if flags & DISCARD else data.ljust(-(-len(data) // SECTOR) * SECTOR, b"\0"))
    head = head or struct.pack("<QQQL", MAGIC, 1, len(entries) if count is None else count, SECTOR)
    path.write_bytes(head.ljust(SECTOR, b"\0") + body)
    return path


FLUSHED = (0, b"", FLUSH)


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(sectors("-", DISK_SECTORS))
    return path


def shown(image):
    """One letter a sector; "?" for one that is not of one letter."""
    data = image.read_bytes()
    parts = [data[at:at + SECTOR] for at in range(0, len(data), SECTOR)]
    return "".join(chr(part[0]) if part == part[:1] * SECTOR else "?" for part in parts).rstrip("-")


def test_entries_are_read(tmp_path):
    log = DiskLog(make_log(tmp_path / "log", (3, sectors("a", 2), 0), FLUSHED, (0, b"note", MARK), (9, 4, DISCARD),
                           (1, sectors("b"), FUA)))
    assert [(e.sector, e.sectors, e.flags) for e in log.entries] == [(3, 2, 0), (0, 0, FLUSH), (0, 0, MARK), (9, 4, DISCARD),
                                                                    (1, 1, FUA)]
    assert log.data(log.entries[0]) == sectors("a", 2) and log.data(log.entries[4], 0, 1) == sectors("b")
    assert log.data(log.entries[3], 1) == bytes(3 * SECTOR)
    assert log.flushes() == [1]
    log.close()


def test_entries_are_counted_while_they_come(tmp_path):
    path = tmp_path / "log"
    path.write_bytes(b"")
    assert entry_count(path) == 0
    make_log(path, (0, sectors("a"), 0), FLUSHED)
    assert entry_count(path) == 2


@pytest.mark.parametrize("problem, options", [
    ("ends before entry 2", {"count": 3}),
    ("magic", {"head": b"x" * 28}),
    ("version 2", {"head": struct.pack("<QQQL", MAGIC, 2, 0, SECTOR)}),
    ("sectors of 0 bytes", {"head": struct.pack("<QQQL", MAGIC, 1, 0, 0)})])
def test_what_is_no_log_is_refused(tmp_path, problem, options):
    path = make_log(tmp_path / "log", (0, sectors("a"), 0), FLUSHED, **options)
    with pytest.raises(DiskLogError, match=problem):
        DiskLog(path)


def test_a_log_that_breaks_off_is_refused(tmp_path):
    path = make_log(tmp_path / "log", (0, sectors("a", 3), 0))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DiskLogError, match="ends in entry 0 of 1"):
        DiskLog(path)
    path.write_bytes(b"short")
    with pytest.raises(DiskLogError, match="no super block"):
        DiskLog(path)
    make_log(path, (0, sectors("a"), 64))
    with pytest.raises(DiskLogError, match="flags 0x40"):
        DiskLog(path)


def test_only_a_disk_that_does_one_request_at_a_time_is_logged(tmp_path):
    for options in ({"engine": "vtx"}, {"disk_bus": "nvme"}):
        with pytest.raises(ValueError, match="log of the disk's writes"):
            NodeConfig(tmp_path, image=tmp_path, disk_log=True, **options)


# ---- power cuts ----------------------------------------------------------------------------------


def cut(log, image, count, fate, seed=1, **options):
    cuts = PowerCuts(log, image, lies=options.pop("lies", False))
    with cuts.cut(count, fate, random.Random(seed), **options):
        text = shown(image)
    cuts.close()
    return text


@pytest.fixture
def log(tmp_path):
    log = DiskLog(make_log(tmp_path / "log", (0, sectors("a", 4), 0), FLUSHED, (4, sectors("b", 4), 0), (0, sectors("c", 2), 0),
                           FLUSHED, (8, sectors("d", 4), 0), (12, sectors("e"), FUA), (4, 2, DISCARD)))
    yield log
    log.close()


def test_flushed_writes_stay_and_others_may_be_lost(log, image):
    cuts = PowerCuts(log, image)
    expected = [("", ""), ("", "aaaa"), ("aaaa", "aaaa"), ("aaaa", "aaaabbbb"), ("aaaa", "ccaabbbb"), ("ccaabbbb", "ccaabbbb"),
                ("ccaabbbb", "ccaabbbbdddd")]
    for count, (lost, kept) in enumerate(expected):
        for fate, text in (("lost", lost), ("kept", kept)):
            with cuts.cut(count, fate, random.Random(1)):
                assert shown(image) == text, (count, fate)
    with cuts.cut(8, "lost", random.Random(1)):
        assert shown(image) == "ccaabbbb----e"  # written through
    with cuts.cut(8, "kept", random.Random(1)):
        assert shown(image) == "ccaa\0\0bbdddde"
    with pytest.raises(ValueError, match="comes before"):
        with cuts.cut(3, "lost", random.Random(1)):
            pass
    cuts.close()


def test_what_is_torn_is_torn_between_sectors(log, image):
    texts = {cut(log, image, 4, fate, seed) for seed in range(60) for fate in FATES}
    assert all(set(text[:2]) <= set("ac") and text[2:4] == "aa" and set(text[4:]) <= set("b-") for text in texts)
    assert {"aaaa", "ccaa", "aaaabbbb", "ccaabbbb"} < texts and len(texts) > 12


def test_one_write_may_overtake_another(log, image):
    assert {cut(log, image, 4, "one kept", seed) for seed in range(20)} == {"ccaa", "aaaabbbb"}
    assert {cut(log, image, 4, "last torn", seed) for seed in range(60)} == {f"{t}aabbbb" for t in ("aa", "ac", "ca", "cc")}


def test_a_flush_can_be_missing(log, image):
    assert cut(log, image, 5, "lost", flush_missing=True) == "aaaa"
    assert cut(log, image, 5, "kept", flush_missing=True) == "ccaabbbb"


def test_all_flushes_can_be_missing(log, image):
    assert cut(log, image, 5, "lost", lies=True) == ""
    assert cut(log, image, 5, "kept", lies=True) == "ccaabbbb"


# ---- promises ------------------------------------------------------------------------------------


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def report(settings=(), images=(), disks=()):
    """Settings and images are name -> a text of which they have the digest; images are numbered from 1."""
    return {"Settings": [{"Name": name, "Sha256": digest(text)} for name, text in settings],
            "Images": [{"Id": i, "Name": name, "Sha256": digest(text)} for i, (name, text) in enumerate(images, 1)],
            "Disks": [{"Id": i, "Name": name, "Size": size, "ReadOnly": False} for i, name, size in disks],
            "Check": {"Problems": 0, "Text": ""}}


def test_changes_are_due_when_they_are_acknowledged(tmp_path):
    promises = Promises()
    promises.acknowledge(20, promises.begin(10, image={"i": digest("aa")}, setting={"s": PRESENT}))
    promises.acknowledge(40, promises.begin(30, image={"i": None}))
    (tmp_path / "1").write_text("aa")
    (tmp_path / "2").write_text("aa")
    candidates = {"all": report([("s", "11")], [("i", "aa")]), "other setting": report([("s", "22")], [("i", "aa")]),
                  "no image": report([("s", "11")]), "other image": report([("s", "11")], [("i", "bb")]),
                  "more": report([("s", "11")], [("i", "aa"), ("j", "aa")]), "nothing": report()}
    right = {10: ["nothing"], 11: ["all", "other setting", "no image", "nothing"], 20: ["all", "other setting"],
             30: ["all", "other setting"], 31: ["all", "other setting", "no image"], 40: ["no image"]}
    for count, good in right.items():
        assert [name for name, value in candidates.items() if not promises.problems(count, value, tmp_path)] == good, count
    assert promises.acknowledged() == [20, 40]
    assert [(thing, change.end) for thing, change in promises.unknown()] == [(("setting", "s"), 20)]


def contents_problems(promises, count, folder, text, name="d"):
    (folder / "7").write_bytes(b"".join(sectors(letter) if letter != "0" else bytes(SECTOR) for letter in text))
    return promises.problems(count, report(disks=[(7, name, len(text) * SECTOR)]), folder)


def test_writes_are_due_when_a_flush_is_acknowledged(tmp_path):
    promises = Promises()
    promises.acknowledge(1, promises.begin(0, disk={"d": disk_value(4 * SECTOR)}))
    promises.begin_write(10, "d", 0, sectors("a", 2))
    promises.begin_write(20, "d", 1, sectors("b", 2))
    promises.flushed(30, "d")
    promises.begin_write(40, "d", 2, sectors("c", 2))
    right = {10: ["0000"], 11: ["0000", "a000", "0a00", "aa00"], 30: ["abb0"], 41: ["abb0", "abc0", "abbc", "abcc"],
             21: ["0000", "a000", "0a00", "aa00", "ab00", "00b0", "abb0"]}
    for count, good in right.items():
        for text in ("0000", "a000", "0a00", "aa00", "ab00", "00b0", "abb0", "abc0", "abbc", "abcc", "xbb0", "abbx"):
            assert (contents_problems(promises, count, tmp_path, text) == []) == (text in good), (count, text)


def test_a_snapshot_has_what_its_disk_had(tmp_path):
    promises = Promises()
    promises.begin_write(10, "d", 0, sectors("a"))
    promises.inherit("s", "d")
    promises.flushed(20, "d")
    promises.begin_write(30, "d", 0, sectors("b"))
    promises.flushed(40, "d")
    promises.acknowledge(1, promises.begin(0, disk={"s": disk_value(2 * SECTOR)}))
    assert contents_problems(promises, 50, tmp_path, "a0", "s") == []
    assert contents_problems(promises, 50, tmp_path, "b0", "s") != []
    assert promises.base_contents("d", 2 * SECTOR) == bytes(2 * SECTOR)
    promises.bases["d"] = "s"
    assert promises.base_contents("d", 2 * SECTOR) == sectors("a") + bytes(SECTOR)


def test_what_the_store_finds_is_a_problem(tmp_path):
    assert Promises().problems(1, {"Error": "the store is damaged"}, tmp_path) != []
    bad = report()
    bad["Check"] = {"Problems": 1, "Text": "extent 5 belongs to two"}
    assert Promises().problems(1, bad, tmp_path) == ["check: extent 5 belongs to two"]


def test_an_image_is_what_its_digest_says(tmp_path):
    promises = Promises()
    promises.acknowledge(20, promises.begin(10, image={"i": digest("aa")}))
    (tmp_path / "1").write_text("ab")
    assert promises.problems(20, report(images=[("i", "aa")]), tmp_path) == ["image i is not what its digest says"]


# ---- store-replay --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A state partition with an image and a disk, and the digest of the image."""
    folder = tmp_path_factory.mktemp("state")
    simulation = Simulation(folder / "state.img")
    data = random.Random(1).randbytes(300_001)
    (folder / "image").write_bytes(data)
    curl = ["curl", "-ksS", "--fail", "-u", f"admin:{simulation.secret}"]
    subprocess.run(curl + ["-T", folder / "image", simulation.url + "v1/images/one"], check=True, capture_output=True)
    subprocess.run(curl + ["-X", "POST", simulation.url + "v1/disks/two?size=3145728"], check=True, capture_output=True)
    simulation.stop()
    return folder / "state.img", hashlib.sha256(data).hexdigest()


@pytest.fixture
def node_disk(state, tmp_path):
    """A node's disk with that partition."""
    path = tmp_path / "node.img"
    copy_sparse(BUILD / "keelson.img", path)
    with open(path, "r+b") as file:
        file.seek(STATE_ENTRY_AT + 32)
        file.seek(int.from_bytes(file.read(8), "little") * SECTOR)
        file.write(state[0].read_bytes())
    return path


def replay(*arguments, status=0):
    done = subprocess.run([STORE_REPLAY, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout) if status == 0 else done.stderr


def test_store_replay_tells_what_is_there(state, node_disk, tmp_path):
    before = hashlib.sha256(node_disk.read_bytes()).digest()
    contents = tmp_path / "contents"
    contents.mkdir()
    found = replay(node_disk)
    assert [(i["Name"], i["Size"], i["Sha256"].lower()) for i in found["Images"]] == [("one", 300_001, state[1])]
    assert [(d["Name"], d["Size"], d["ReadOnly"]) for d in found["Disks"]] == [("two", 3 << 20, False)]
    assert {"auth.secret", "tls.identity"} == {s["Name"] for s in found["Settings"]}
    assert found["Check"]["Problems"] == found["Scrub"]["Problems"] == 0 and found["Scrub"]["BytesRead"] == 300_001
    again = replay(node_disk, "--contents", contents)
    assert again == {name: value for name, value in found.items() if name != "Scrub"}
    assert (contents / str(found["Disks"][0]["Id"])).read_bytes() == bytes(3 << 20)
    assert hashlib.sha256((contents / str(found["Images"][0]["Id"])).read_bytes()).hexdigest() == state[1]
    assert hashlib.sha256(node_disk.read_bytes()).digest() == before


def test_store_replay_finds_damage(node_disk):
    data = node_disk.read_bytes()
    at = data.index(random.Random(1).randbytes(SECTOR))
    with open(node_disk, "r+b") as file:
        file.seek(at + 1000)
        file.write(b"damage")
    found = replay(node_disk)
    assert found["Scrub"]["Problems"] == 1 and "one" in found["Scrub"]["Text"]
    with open(node_disk, "r+b") as file:
        at = data.rindex(b"SQLite format 3\0")
        file.seek(at)
        file.write(b"\xff" * 4096)
    assert "damaged" in replay(node_disk)["Error"]


def test_store_replay_needs_one_state_partition(node_disk, tmp_path):
    with open(node_disk, "r+b") as file:
        file.truncate(1 << 20)
        file.seek(SECTOR)
        file.write(bytes(SECTOR))
    assert "not one state partition" in replay(node_disk, status=1)
    assert "No such file" in replay(tmp_path / "none", status=1)
    assert "usage" in replay(status=2)
