#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Build newlib freestanding with the host's own gcc: newlib.sh SOURCE_DIR WORK_DIR OUT_DIR
#
# newlib's build wants a cross compiler named after the target. There is none here: gcc for x86-64 Linux
# makes the same code once the macros that say "Linux" are taken away and its own headers are hidden.
# -D__DYNAMIC_REENT__ sends errno and stdio through __getreent(), which the management run-time supplies,
# one struct _reent for each CPU; retargetable locking does the same for locks.
set -eu

src=$(CDPATH= cd -- "$1" && pwd)
work=$2
out=$3
root=$(pwd)
jobs=$(nproc)

rm -rf "$work"
mkdir -p "$work" "$out/lib" "$out/include"
work=$(CDPATH= cd -- "$work" && pwd)

flags="-O2 -ffreestanding -mno-red-zone -mcmodel=small -fno-pie -fno-pic -fno-stack-protector
 -fcf-protection=none -fno-asynchronous-unwind-tables -fno-unwind-tables -ffunction-sections
 -fdata-sections -U__linux__ -U__linux -Ulinux -U__gnu_linux__ -U__unix__ -U__unix -Uunix -nostdinc
 -isystem $(gcc -print-file-name=include) -D__DYNAMIC_REENT__ -ffile-prefix-map=$root=."
flags=$(echo $flags)

# The surrounding make's flags would change what the inner one does.
unset MAKEFLAGS MFLAGS MAKELEVEL CFLAGS CPPFLAGS LDFLAGS 2>/dev/null || true

cd "$work"
"$src/configure" --target=x86_64-elf --prefix="$work/install" --disable-multilib \
    --disable-newlib-supplied-syscalls --disable-libgloss --disable-nls --disable-shared \
    --enable-newlib-io-long-long --enable-newlib-io-c99-formats --enable-newlib-io-long-double \
    --enable-newlib-retargetable-locking --disable-newlib-wide-orient --enable-newlib-reent-check-verify \
    CC_FOR_TARGET=gcc AS_FOR_TARGET=as AR_FOR_TARGET=ar LD_FOR_TARGET=ld NM_FOR_TARGET=nm \
    RANLIB_FOR_TARGET=ranlib OBJCOPY_FOR_TARGET=objcopy OBJDUMP_FOR_TARGET=objdump \
    STRIP_FOR_TARGET=strip READELF_FOR_TARGET=readelf CFLAGS_FOR_TARGET="$flags"
make -j"$jobs" all-target-newlib MAKEINFO=true
# Installing is not safe in parallel.
make install-target-newlib MAKEINFO=true
cd "$root"

mkdir -p "$out/include/newlib"
cp -R "$work/install/x86_64-elf/include/." "$out/include/newlib/"
for lib in libc.a libm.a; do
    cp "$work/install/x86_64-elf/lib/$lib" "$out/lib/$lib"
done
rm -rf "$work"
