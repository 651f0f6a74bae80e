#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Fetch and unpack what deps.lock pins: fetch.sh DEPS_DIR
#
# Works without root: apt runs with lists, cache and sources of its own under DEPS_DIR/apt. Downloads stay
# in DEPS_DIR/cache, verified at every run, so that a second run needs no network. Results:
#   DEPS_DIR/src/NAME          unpacked sources (Debian's patches applied) and binary packages
#   DEPS_DIR/linux/vmlinuz     the kernel for test guests, with config, and busybox beside it
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
deps=$(mkdir -p "$1" && cd "$1" && pwd)
cache=$deps/cache
lock=$here/deps.lock
mkdir -p "$cache" "$deps/src" "$deps/linux"

exec 9>"$deps/.lock"
flock 9

say() { printf '  %-6s %s\n' "$1" "$2"; }
die() {
    echo "deps: $*" >&2
    exit 1
}
sha() { sha256sum "$1" | cut -d' ' -f1; }
accepted() { [[ ",$2," == *",$(sha "$1"),"* ]]; }

# ---- apt with private state -------------------------------------------------------------------------

apt_opts=()

# The mirrors that the machine itself uses for Debian 12, or the archive's own name.
mirrors() {
    local found
    found=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' \
        2>/dev/null | grep -E ' bookworm(-updates|-security)? main$' | sort -u || true)
    if [[ -z $found ]]; then
        found='http://deb.debian.org/debian bookworm main
http://deb.debian.org/debian-security bookworm-security main'
    fi
    printf '%s\n' "$found"
}

apt_prepare() {
    [[ ${#apt_opts[@]} -eq 0 ]] || return 0
    local apt=$deps/apt line
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    mirrors | while read -r line; do
        for type in deb deb-src; do
            echo "$type [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $line"
        done
    done >"$apt/sources.list"
    apt_opts=(-q -o Dir::State::lists="$apt/lists" -o Dir::Cache="$apt/cache"
        -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o APT::Sandbox::User=root -o Acquire::Retries=3)
    say APT "package lists"
    apt-get "${apt_opts[@]}" update >"$apt/log" 2>&1 || {
        cat "$apt/log" >&2
        die "cannot read the Debian package lists"
    }
}

# Newest first: the versions of source package $1 whose upstream part is $2.
source_versions() {
    apt-cache "${apt_opts[@]}" showsrc --only-source "$1" | sed -n 's/^Version: //p' | grep -F -- "$2-" |
        sort -Vru
}

# ---- one kind of lock line each ----------------------------------------------------------------------

cached_orig() { # NAME VERSION HASH: a verified .orig tarball in the cache
    local file
    for file in "$cache/$1_$2".orig.tar.*; do
        [[ -f $file ]] && accepted "$file" "$3" && return 0
    done
    return 1
}

newest_dsc() { find "$cache" -name "$1_$2-*.dsc" | sort -V | tail -1; }

fetch_src() { # NAME VERSION HASH
    if cached_orig "$@" && [[ -n $(newest_dsc "$1" "$2") ]]; then
        return
    fi
    apt_prepare
    local version
    for version in $(source_versions "$1" "$2"); do
        say FETCH "$1 $version"
        # A point release may have removed the newest listed revision's files: try the next one then.
        if (cd "$cache" && apt-get "${apt_opts[@]}" source --download-only "$1=$version" >>"$deps/apt/log" 2>&1); then
            cached_orig "$@" || die "$1 $version: deps.lock does not accept" \
                "$(sha256sum "$cache/$1_$2".orig.tar.*)"
            return
        fi
    done
    die "no revision of source package $1 $2 could be fetched (see build/deps/apt/log)"
}

unpack_src() { # NAME VERSION HASH
    local out=$deps/src/$1 dsc
    dsc=$(newest_dsc "$1" "$2")
    [[ -f $out/.unpacked && $(cat "$out/.unpacked") == "$(sha "$dsc")" ]] && return
    say UNPACK "$1"
    rm -rf "$out"
    # dpkg-source copies the .orig tarball next to its output; keep that out of src/.
    mkdir -p "$deps/unpack"
    (cd "$deps/unpack" && dpkg-source -q --no-check -x "$dsc" "$1" >/dev/null 2>&1) || die "cannot unpack $dsc"
    mv "$deps/unpack/$1" "$out"
    rm -rf "$deps/unpack"
    sha "$dsc" >"$out/.unpacked"
}

# Where the cache keeps package $1; a meta-package's file name is that of the package behind it.
cached_deb() { [[ -f $cache/$1.list ]] && echo "$cache/$(cat "$cache/$1.list")"; }

fetch_deb() { # KIND NAME HASHES
    local file package=$2
    if file=$(cached_deb "$2") && [[ -f $file ]]; then
        if accepted "$file" "$3" || [[ $1 == test ]]; then
            return
        fi
    fi
    apt_prepare
    if [[ $2 == linux-image-amd64 ]]; then
        package=$(apt-cache "${apt_opts[@]}" depends "$2" | sed -n 's/^ *Depends: *\(linux-image-[^ ]*\)$/\1/p' | head -1)
    fi
    say FETCH "$package"
    (cd "$cache" && rm -f "${package}"_*.deb && apt-get "${apt_opts[@]}" download "$package" >>"$deps/apt/log" 2>&1) ||
        die "cannot fetch $package (see build/deps/apt/log)"
    file=$(find "$cache" -name "${package}_*.deb" | head -1)
    if ! accepted "$file" "$3"; then
        [[ $1 == test ]] || die "$(basename "$file") has hash $(sha "$file"), which deps.lock does not accept"
        say NOTE "$(basename "$file") is newer than deps.lock; used because only test guests run it"
    fi
    basename "$file" >"$cache/$2.list"
}

unpack_deb() { # KIND NAME
    local out=$deps/src/$2 file
    file=$(cached_deb "$2")
    [[ -f $out/.unpacked && $(cat "$out/.unpacked") == "$(sha "$file")" ]] && return
    say UNPACK "$2"
    rm -rf "$out"
    mkdir -p "$out"
    if [[ $2 == linux-image-amd64 ]]; then
        dpkg-deb --fsys-tarfile "$file" | tar -x -C "$out" ./boot
        install -m 644 "$out"/boot/vmlinuz-* "$deps/linux/vmlinuz"
        install -m 644 "$out"/boot/config-* "$deps/linux/config"
        basename "$file" >"$deps/linux/PACKAGE"
    else
        dpkg-deb -x "$file" "$out"
    fi
    [[ $2 != busybox-static ]] || install -m 755 "$out/bin/busybox" "$deps/linux/busybox"
    sha "$file" >"$out/.unpacked"
}

while read -r kind name rest; do
    case $kind in
        '' | '#'*) ;;
        src)
            read -r version hash <<<"$rest"
            fetch_src "$name" "$version" "$hash"
            unpack_src "$name" "$version" "$hash"
            ;;
        deb | test)
            fetch_deb "$kind" "$name" "$rest"
            unpack_deb "$kind" "$name"
            ;;
        *) die "deps.lock: unknown kind '$kind'" ;;
    esac
done <"$lock"
