#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Check that the host packages of packages.txt are installed; as root install what is missing.
set -eu

here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "Keelson builds on Debian 12; this machine has no dpkg. The packages needed are listed in" >&2
    echo "tools/deps/packages.txt." >&2
    exit 1
fi

wanted=$(sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$here/packages.txt")
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
missing=
for package in $wanted; do
    if ! printf '%s\n' "$installed" | grep -qxF "$package"; then
        missing="$missing $package"
    fi
done
[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" != 0 ]; then
    echo "Some Debian packages are missing. Install them with:" >&2
    echo "  sudo $install" >&2
    exit 1
fi

echo "  SETUP  installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
$install
