#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sets up, builds, and runs Keelson nodes in QEMU or Bochs; ./qemu-run.sh --help tells the options.
set -eu
root=$(cd "$(dirname "$0")" && pwd)
case " $* " in
*" --help "* | *" -h "* | *" --stop "*) ;;
*)
    make -C "$root" --no-print-directory setup
    make -C "$root" --no-print-directory image tools
    ;;
esac
# The caller's folder stays the current one: paths among the options are relative to it.
PYTHONPATH=$root exec /usr/bin/python3 -m tools.emul "$@"
