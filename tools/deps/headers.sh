#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Collect the third-party headers: headers.sh DEPS_DIR
#
# Each library gets a folder of its own below DEPS_DIR/include, laid out as its users write #include.
set -eu

src=$1/src
inc=$1/include

# fill SUBFOLDER FILE...: put files or folders, with their dates, into include/SUBFOLDER.
fill() {
    to=$inc/$1
    shift
    mkdir -p "$to"
    cp -Rp "$@" "$to/"
}

fill mbedtls "$src/mbedtls/include/mbedtls" "$src/mbedtls/include/psa"
fill lwip "$src/lwip/src/include/lwip" "$src/lwip/src/include/netif"
fill llhttp "$src/node-llhttp/usr/share/include/llhttp/llhttp.h"
fill cjson/cjson "$src/cjson/cJSON.h"
fill zydis "$src/zydis/include/Zydis" "$src/libzycore-dev/usr/include/Zycore"
fill sqlite3 "$1/sqlite/sqlite3.h"
