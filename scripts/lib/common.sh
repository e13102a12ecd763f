# Shared by scripts/*: sourced, never run.
#
# `.venv` holds exactly what a lock names, and the project itself, editable. A stamp in it says what it
# was made from; while the stamp fits, nothing is done and no network is needed. A set-up that was cut
# leaves `.unfinished` behind, and the next one starts anew. Two at once wait for each other.

set -euo pipefail
shopt -s inherit_errexit

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/../.." && pwd -P)
venv=$root/.venv
# Where Debian puts system commands and PostgreSQL's own, for those whose PATH lacks them.
for folder in /usr/sbin /sbin /usr/lib/postgresql/*/bin; do PATH=$PATH:$folder; done
export PATH

say() { printf 'wazi: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 2
}

# apt_install PACKAGE…: install them as root; tell anyone else the command.
apt_install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        die "this needs more of the system; please run:  sudo apt-get install --no-install-recommends $*"
    fi
    say "installing from Debian: $*"
    local log
    log=$(mktemp)
    # RUNLEVEL=1: a package that brings a service does not start it.
    { apt-get update -q; RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -q --no-install-recommends "$@"; } </dev/null >"$log" 2>&1 || {
        tail -n 20 -- "$log" >&2
        die "apt-get could not install: $* (its whole output: $log)"
    }
    rm -- "$log"
}

# need COMMAND:PACKAGE…: have every command, installing the packages of those that are missing.
need() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

# need_lab: have what the censored country of tests/lab is made of.
need_lab() {
    need nginx:nginx-light unbound:unbound dig:bind9-dnsutils ip:iproute2 nft:nftables iptables:iptables \
        ethtool:ethtool conntrack:conntrack curl:curl openssl:openssl tcpdump:tcpdump traceroute:traceroute \
        ping:iputils-ping unshare:util-linux ps:procps tayga:tayga faketime:faketime unzip:unzip
}

# need_pango: have the libraries and a typeface that PDF files are set with.
need_pango() {
    if ! ldconfig -p | grep -q libpangoft2-1.0 || ! ldconfig -p | grep -q libharfbuzz-subset; then
        apt_install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core
    fi
}

# find_python: print the first Python here that is new enough.
find_python() {
    local python
    for python in ${PYTHON:+"$PYTHON"} python3.11 python3 python3.12 python3.13 python3.14; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$python"
            return
        fi
    done
    return 1
}

# stamp LOCK: what an environment made from LOCK, here and with its present Python, is known by.
stamp() {
    { printf '%s\n' "$root" "$(readlink -f -- "$venv/bin/python")" && cat -- "$1" "$root/pyproject.toml"; } |
        sha256sum
}

# is_ready LOCK
is_ready() {
    [ -x "$venv/bin/wazi" ] && [ ! -e "$venv/.unfinished" ] &&
        [ "$(cat -- "$venv/.made-from-$(basename -- "$1")" 2>/dev/null)" = "$(stamp "$1")" ]
}

# is_sound: whether the environment's own pip runs, on a fit Python, and was made for this folder.
is_sound() {
    [ ! -e "$venv/.unfinished" ] &&
        "$venv/bin/python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null &&
        head -n 2 -- "$venv/bin/pip" | grep -qF -- "$venv/bin/"
}

make_venv() {
    local python
    if ! python=$(find_python); then
        apt_install python3 python3-venv
        python=$(find_python) || die "Wazi needs Python 3.11 or newer; set PYTHON to its path"
    fi
    # Debian packs the part of venv that brings pip apart.
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    "$python" -m venv --clear "$venv"
}

# make_ready LOCK: install exactly what LOCK names, and the project.
make_ready() {
    local pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input)
    is_sound || make_venv
    : >"$venv/.unfinished"
    "${pip[@]}" install --require-hashes -r "$1" >&2 ||
        die "the set-up failed; it needs the package index this once. Run the same command again when that can be reached"
    "${pip[@]}" install --no-deps --no-build-isolation -e "$root" >&2
    stamp "$1" >"$venv/.made-from-$(basename -- "$1")"
    rm -- "$venv/.unfinished"
}

# set_up LOCK: make `.venv` fit LOCK, unless it does.
set_up() {
    is_ready "$1" && return
    exec 9<"$root/pyproject.toml"
    flock -n 9 || { say "waiting for another set-up to end" && flock 9; }
    if ! is_ready "$1"; then
        say "setting up in $venv (only once, a minute or so)"
        make_ready "$1"
    fi
    exec 9<&-
}
