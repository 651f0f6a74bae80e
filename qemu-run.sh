#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Sets up, builds, and runs Keelson nodes in QEMU or Bochs; ./qemu-run.sh --help tells the options.
set -eu
cd "$(dirname "$0")"
case " $* " in
*" --help "* | *" -h "* | *" --stop "*) ;;
*)
    make setup
    make image tools
    ;;
esac
exec /usr/bin/python3 -m tools.emul "$@"
