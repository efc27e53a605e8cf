# shellcheck shell=bash
# What the scripts share: messages, and getting what is missing. Sourced, never run.
#
# Nothing here touches anything outside the work tree except Debian packages (apt-get, as root)
# and the compiler's targets (rustup). Tools from PyPI live in target/tools.

set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck disable=SC2034 # used by the scripts that source this
target_dir=${CARGO_TARGET_DIR:-$root/target}
tools=$root/target/tools

say() { printf '%s\n' "$*"; }
fail() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 2; }
have() { command -v "$1" >/dev/null 2>&1; }

# Steps of a longer run: `step NAME COMMAND…` names the step, runs it, says how long it took.
step() {
    local name=$1 began=$SECONDS
    shift
    say "== $name"
    "$@"
    say "-- $name: $((SECONDS - began)) s"
}

# Steps that cannot run here are named once more at the end, so that none is missing unseen.
skipped=()
skip() { skipped+=("$1"); say "skipped: $1"; }
list_skipped() {
    local one
    for one in ${skipped[@]+"${skipped[@]}"}; do say "not run: $one"; done
}

# need_debian PROGRAM[=PACKAGE]… | FILE=PACKAGE…: installs the Debian packages whose programs or files are not there.
need_debian() {
    local missing=() one
    for one in "$@"; do
        is_there "${one%%=*}" || missing+=("${one##*=}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    have apt-get || fail "missing programs; install what your system calls: ${missing[*]}"
    [ "$(id -u)" -eq 0 ] || fail "missing programs; run: sudo apt-get install ${missing[*]}"
    say "installing: ${missing[*]}"
    # Package lists may be absent or years old: only then are they fetched.
    apt_install "${missing[@]}" 2>/dev/null || { apt-get update -qq && apt_install "${missing[@]}"; } ||
        fail "apt-get cannot install: ${missing[*]}"
}

is_there() {
    case $1 in
    /*) [ -e "$1" ] ;;
    *) have "$1" ;;
    esac
}

apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# need_unpacked ARCHITECTURE PACKAGE…: Debian packages of an architecture (as Debian calls it), with all that they depend on, unpacked into a folder and never
# installed: here they would not run, or would bring services. unpacked names the folder. False where they cannot be had.
need_unpacked() {
    local architecture=$1 package
    shift
    unpacked=$root/target/unpacked-$architecture-$1
    [ -e "$unpacked/whole" ] && return
    rm -rf "$unpacked"
    mkdir -p "$unpacked/lists/partial" "$unpacked/archives/partial"
    : >"$unpacked/status"
    # Lists of its own: this computer's say nothing of another architecture, and do not have to. Nothing is installed by its status, so all that is needed is fetched.
    local own=(-qq -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture" -o APT::Sandbox::User=root -o "Dir::State::status=$unpacked/status"
        -o "Dir::State::lists=$unpacked/lists" -o "Dir::Cache=$unpacked" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    apt-get "${own[@]}" update && apt-get "${own[@]}" install -y --no-install-recommends --download-only "$@" >/dev/null || return
    for package in "$unpacked"/archives/*.deb; do dpkg-deb -x "$package" "$unpacked" || return; done
    rm -r "$unpacked/lists" "$unpacked/archives"
    : >"$unpacked/whole"
}

# need_postfix: a mail server that is installed but not started, hence "No configuration".
need_postfix() {
    if have debconf-set-selections && [ "$(id -u)" -eq 0 ]; then
        echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
    fi
    need_debian postconf=postfix
}

# need_rust: the compiler itself is a person's choice; only its absence is reported.
need_rust() {
    have cargo || fail "cargo is missing; install Rust from https://rustup.rs, then run this again"
    need_debian cc=gcc
}

# need_target TARGET: the standard library of a target; false where it cannot be had.
need_target() {
    [ -d "$(rustc --print target-libdir --target "$1" 2>/dev/null)" ] && return
    have rustup || return
    timeout 300 rustup target add "$1"
}

# What is shipped, for this computer: its static binary where that can be built; COFFER_BIN names it.
build_for_this_computer() {
    local target
    target=$(uname -m)-unknown-linux-musl
    if need_target "$target"; then
        scripts/build --target "$target"
        export COFFER_BIN=$target_dir/$target/release/coffer
    else
        skip "static binary for this computer: rustup cannot get $target"
        scripts/build
        export COFFER_BIN=$target_dir/release/coffer
    fi
}

# need_python NAME: what scripts/tools/NAME.txt pins by version and digest, from PyPI, on PATH;
# false where it cannot be had. Installed anew when the file changes.
need_python() {
    local wanted=scripts/tools/$1.txt installed=$tools/$1.txt
    PATH=$tools/bin:$PATH
    cmp -s "$wanted" "$installed" && return
    python3 -c 'import ensurepip' 2>/dev/null || need_debian python3 ensurepip=python3-venv
    [ -x "$tools/bin/pip" ] || python3 -m venv "$tools" || return
    say "installing: $1"
    pip_install -r "$wanted" && cp "$wanted" "$installed"
}

pip_install() {
    "$tools/bin/pip" install -q --disable-pip-version-check --no-deps --require-hashes "$@"
}
