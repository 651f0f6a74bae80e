# SPDX-License-Identifier: Apache-2.0
"""The data plane leaves vector registers alone: a guest's are in the processor while it is served.

Looks at the objects that mk/mgmt.mk compiles for it, at Zydis, and at each function of the management partition's image
that one of these objects calls by name.
"""
import os
import pathlib
import re
import subprocess

BUILD = pathlib.Path(os.environ.get("KEELSON_BUILD", "build"))
DEPS = pathlib.Path(os.environ.get("KEELSON_DEPS", "build/deps"))
OBJECTS = BUILD / "mgmt" / "mgmt"
FOLDERS = ("block", "dataplane", "devices", "drivers", "hvif", "vswitch")
BRING_UP = {"plat_log"}  # what drivers call before the data plane runs
CONTROL_PLANE = {f"{name}.o" for name in ("kernel_loader", "kernel_parts", "kernel_place", "linux_loader", "bzimage",
                                        "elf_kernel", "multiboot", "pvh")}  # beside the devices, and run before the guest is
VECTOR = re.compile(r"%[xyz]mm\d|%st\b")


def output(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout


def plane_objects():
    found = [path for folder in FOLDERS for path in (OBJECTS / folder).rglob("*.o")]
    found += [*(OBJECTS / "rt").glob("*_isr.o"), OBJECTS / "rt" / "time_scale.o"]
    return sorted(path for path in found if path.name not in CONTROL_PLANE)


def functions_with_vectors(path):
    """Names of the functions in an object, archive or image that touch a vector or x87 register."""
    name, found = None, set()
    for line in output("objdump", "-d", "--no-show-raw-insn", path).splitlines():
        header = re.match(r"[0-9a-f]+ <([^>]+)>:$", line)
        if header:
            name = header[1]
        elif VECTOR.search(line):
            found.add(name)
    return found


def test_own_code():
    objects = plane_objects()
    assert len(objects) > 50
    assert {f"{path.name}: {name}" for path in objects for name in functions_with_vectors(path)} == set()


def test_decoder():
    assert functions_with_vectors(DEPS / "lib" / "libzydis.a") == set()


def test_what_it_calls():
    called = {line.split()[0] for path in plane_objects() for line in output("nm", "-u", "-P", path).splitlines()}
    assert "time_wall_get" in called
    assert called & functions_with_vectors(BUILD / "mgmt" / "mgmt.elf") - BRING_UP == set()
