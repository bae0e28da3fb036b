# shellcheck shell=bash
# What the scripts share. Source it: . "$(dirname "$0")/common.sh"

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export TOOLS=$ROOT/.tools

# One line for the person who waits: what is being done, and why.
say() { printf '\033[1mmiroir:\033[0m %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# Runs a command quietly; shows all that it said only if it fails.
quietly() {
    local log status=0
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    [ "$status" -eq 0 ] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        have sudo || die "'$*' needs root: run it as root, then try again"
        sudo "$@"
    fi
}

# Installs those of the given Debian packages that are missing.
apt_install() {
    local missing=()
    local package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    have apt-get || die "please install ${missing[*]} (this machine has no apt-get)"
    say "installing Debian's ${missing[*]}"
    quietly as_root apt-get update
    quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
}

# Makes the virtual environment .tools/NAME of PyPI packages of exact versions, unless it is there:
# `pypi_install NAME SIZE PACKAGE==VERSION...`
pypi_install() {
    local venv=$TOOLS/$1 size=$2
    shift 2
    [ "$(cat "$venv/installed" 2>/dev/null)" != "$*" ] || return 0
    # Debian's Python comes without the means to make one.
    python3 -c 'import venv, ensurepip' 2>/dev/null || apt_install python3 python3-venv
    say "installing $* into .tools (about $size)"
    rm -rf "$venv"
    python3 -m venv "$venv"
    quietly "$venv/bin/pip" install --disable-pip-version-check "$@"
    echo "$*" >"$venv/installed"
}

# Installs npm packages of exact versions into .tools/NAME, unless they are there: `npm_install NAME PACKAGE@VERSION...`
npm_install() {
    local folder=$TOOLS/$1
    shift
    [ "$(cat "$folder/installed" 2>/dev/null)" != "$*" ] || return 0
    have npm || apt_install npm
    say "installing $* into .tools (about 5 MB)"
    rm -rf "$folder"
    mkdir -p "$folder"
    quietly npm install --prefix "$folder" --no-audit --no-fund --save-exact "$@"
    echo "$*" >"$folder/installed"
}
