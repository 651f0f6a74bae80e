#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Make SQLite's amalgamation, one C file and its header, in DEPS_DIR/sqlite: sqlite.sh DEPS_DIR
#
# The source package holds the parts; their makefile joins them with Tcl. Nothing is compiled here but the
# generators, so the result does not depend on the target.
set -eu

deps=$(CDPATH= cd -- "$1" && pwd)
src=$deps/src/sqlite3
out=$deps/sqlite
work=$deps/sqlite-work

if cmp -s "$src/.unpacked" "$out/.made"; then
    exit 0
fi
echo "  SQLITE $out"
rm -rf "$work" "$out"
mkdir -p "$work" "$out"

# The surrounding make's flags would change what the inner one does.
unset MAKEFLAGS MFLAGS MAKELEVEL CFLAGS CPPFLAGS LDFLAGS 2>/dev/null || true

cd "$work"
{ "$src/configure" --disable-tcl --disable-readline && make sqlite3.c; } >"$deps/sqlite.log" 2>&1 || {
    tail -20 "$deps/sqlite.log" >&2
    exit 1
}
cp sqlite3.c sqlite3.h "$out/"
cp "$src/.unpacked" "$out/.made"
cd "$deps"
rm -rf "$work"
