#!/usr/bin/env bash
# Brings a checkout to where `sizewise` runs: ngspice and its shared library, a Python with venv, and .venv.
#
#   scripts/setup.sh            install what is missing, and nothing else
#   scripts/setup.sh --check    only say what is missing
#
# PYTHON=/path/to/python3.12 picks the interpreter; it must be 3.11 or newer.
# Exit status: 0 everything is there, 2 a wrong option, 3 the machine lacks something that this script may not or could not install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly venv=.venv
readonly stamp=$venv/.installed

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 3
}

# ---------------------------------------------------------------------------------------------- what is there

has_ngspice() { command -v ngspice >/dev/null 2>&1; }

has_libngspice() {
    local folder
    if [ -n "${NGSPICE_LIBRARY_PATH:-}" ]; then
        [ -e "$NGSPICE_LIBRARY_PATH" ] && return 0
    fi
    # On Debian a user's PATH lacks the folder of ldconfig.
    case "$(PATH="$PATH:/usr/sbin:/sbin" ldconfig -p 2>/dev/null)" in *libngspice.so*) return 0 ;; esac
    for folder in /opt/homebrew/lib /usr/local/lib /home/linuxbrew/.linuxbrew/lib; do
        compgen -G "$folder/libngspice.*" >/dev/null && return 0
    done
    if command -v brew >/dev/null 2>&1; then
        compgen -G "$(brew --prefix)/lib/libngspice.*" >/dev/null && return 0
    fi
    return 1
}

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

has_venv_module() { "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

# Prints the interpreter to use: one that can make an environment if there is any, else the first that is recent enough.
find_python() {
    local name first=""
    for name in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14 python}; do
        if is_recent "$name"; then
            first=${first:-$name}
            if has_venv_module "$name"; then
                echo "$name"
                return
            fi
        fi
    done
    echo "$first"
}

# ---------------------------------------------------------------------------------------- the system's packages

find_manager() {
    local name
    for name in apt-get dnf brew; do
        if command -v "$name" >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
}

# What a missing part ($2) is called by a package manager ($1); $3 is the interpreter.
package_of() {
    case "$1:$2" in
        *:ngspice) echo ngspice ;;
        apt-get:libngspice) echo libngspice0 ;;
        *:libngspice) echo libngspice ;;
        apt-get:venv) if [ "$3" = python3 ]; then echo python3-venv; else "$3" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'; fi ;;
        *:venv) echo python3 ;;
    esac
}

# Prints the prefix that gives the right to install, or fails. Homebrew refuses root and needs no right.
find_privilege() {
    if [ "$1" = brew ] || [ "$(id -u)" = 0 ]; then
        return 0
    fi
    command -v sudo >/dev/null 2>&1 || return 1
    if sudo -n true 2>/dev/null; then
        echo "sudo -n"
    elif [ -t 0 ]; then
        echo sudo # asks for the password
    else
        return 1
    fi
}

install_packages() {
    local manager=$1 privilege=$2
    shift 2
    case "$manager" in
        apt-get)
            # The lists that are there are usually good; they are fetched again only where they are not.
            $privilege env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" && return
            say "the package lists are missing or old: apt-get update"
            $privilege apt-get update -q
            $privilege env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@"
            ;;
        dnf) $privilege dnf install -y "$@" ;;
        brew) brew install "$@" ;;
    esac
}

# Prints the missing parts; $1 is the interpreter, empty where .venv is ready and none is needed.
missing_parts() {
    has_ngspice || echo ngspice
    has_libngspice || echo libngspice
    if [ -n "$1" ]; then
        has_venv_module "$1" || echo venv
    fi
}

set_up_system() {
    local python=$1 parts manager privilege part packages=()
    parts=$(missing_parts "$python")
    [ -z "$parts" ] && return
    manager=$(find_manager)
    if [ -z "$manager" ]; then
        fail "this machine lacks: $(echo $parts)" \
            "neither apt-get, dnf nor brew is here to install them. Install, in this system's own way, the ngspice program," \
            "its shared library (libngspice) and Python's venv and ensurepip modules; where the library is in an unusual" \
            "place, set NGSPICE_LIBRARY_PATH to its file. Then run the command again."
    fi
    for part in $parts; do packages+=("$(package_of "$manager" "$part" "$python")"); done
    if ! privilege=$(find_privilege "$manager"); then
        fail "this machine lacks: $(echo $parts)" \
            "this account may not install them (not root, and sudo is absent or asks for a password). Have this run as root:" \
            "    $manager install ${packages[*]}" \
            "Then run the command again."
    fi
    say "$manager install ${packages[*]}"
    install_packages "$manager" "$privilege" "${packages[@]}" ||
        fail "'$manager install ${packages[*]}' failed; its own message is above. Install these, then run the command again."
    parts=$(missing_parts "$python")
    if [ -n "$parts" ]; then
        fail "'$manager install ${packages[*]}' succeeded, yet this is still not found: $(echo $parts)" \
            "Where the ngspice library is in an unusual place, set NGSPICE_LIBRARY_PATH to its file."
    fi
}

# ------------------------------------------------------------------------------------------ the project's Python

# All that an installation depends on. It is kept beside what it made; an equal one means that there is nothing to do.
recipe() {
    echo "place: $PWD"
    cat scripts/setup.sh constraints.txt pyproject.toml
}

is_installed() { [ -x $venv/bin/python ] && [ -f $stamp ] && recipe | cmp -s - $stamp; }

set_up_python() {
    local fresh=""
    # Programs in an environment name their interpreter by its full path: a moved checkout needs a new one.
    if [ -f $stamp ] && [ "$(head -n 1 $stamp)" != "place: $PWD" ]; then fresh=--clear; fi
    if [ -n "$fresh" ] || ! $venv/bin/python -m pip --version >/dev/null 2>&1; then
        say "$1 -m venv $venv"
        "$1" -m venv $fresh $venv
    fi
    say "installing the Python packages that constraints.txt pins into $venv (a minute or two)"
    $venv/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt setuptools
    $venv/bin/python -m pip install --disable-pip-version-check -q -c constraints.txt --no-build-isolation -e '.[dev]' ||
        fail "pip could not install what pyproject.toml and constraints.txt name; its own message is above." \
            "On a Python for which a pinned version has no wheel, use another: PYTHON=python3.11 $0"
    recipe >$stamp
}

check() {
    local python=$1 parts
    parts=$(missing_parts "$python")
    is_installed || parts="$parts .venv"
    if [ -n "${parts// /}" ]; then fail "missing: $(echo $parts)"; fi
    say "everything is there"
}

main() {
    local python=""
    case "${1:-}" in
        "" | --check) ;;
        *)
            echo "setup: unknown option '$1'; there is only --check" >&2
            exit 2
            ;;
    esac
    if ! is_installed; then
        python=$(find_python)
        if [ -z "$python" ]; then
            fail "no Python 3.11 or newer was found (tried: ${PYTHON:-python3, python3.11 to python3.14, python})." \
                "Install one (apt-get install python3.11, dnf install python3.11, brew install python@3.11, or python.org)," \
                "or name one: PYTHON=/path/to/python3.11 $0"
        fi
    fi
    if [ "${1:-}" = --check ]; then
        check "$python"
        return
    fi
    set_up_system "$python"
    is_installed || set_up_python "$python"
}

main "$@"
