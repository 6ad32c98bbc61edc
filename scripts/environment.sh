# The virtual environment beside the checkout, made from a hash-locked requirements file. Sourced by deploy.sh and
# test.sh, which set `root`. Everything is said on stderr: stdout belongs to the result.
# shellcheck shell=bash

venv="$root/.venv"
step=""
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_NO_INPUT=1

say() { printf '%s\n' "$*" >&2; }

# fail CODE WHAT HINT
fail() {
  say "error: $2"
  [[ -z ${3:-} ]] || say "  hint: $3"
  exit "$1"
}

# In functions too (set -E); a subshell leaves the word to its parent.
trap 'code=$?; trap - ERR; ((BASH_SUBSHELL)) && exit "$code"
  fail "$code" "could not ${step:-go on} (line $LINENO)" "the lines above say why"' ERR

# Sets `python` to the first one that is new enough: $PYTHON, python3, or a versioned one.
find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
    [[ -n $candidate ]] && command -v "$candidate" >/dev/null || continue
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      python="$(command -v "$candidate")"
      return
    fi
  done
  fail 2 "no Python 3.11 or newer was found" "install one (apt-get install python3), or name it: PYTHON=/path/to/python3.12"
}

# as_root COMMAND …: directly, or through sudo where that asks for no password.
as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@" >&2
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@" >&2
  else
    return 1
  fi
}

# apt_install PACKAGE …: asks first when there is somebody to ask.
apt_install() {
  step="install $* with apt-get"
  command -v apt-get >/dev/null || fail 2 "$* missing" "install it with this system's package manager"
  if [[ ${assume_yes:-no} == no && -t 0 && -t 2 ]]; then
    read -r -p "Install $* with apt-get? [Y/n] " answer
    [[ ${answer:-y} == [Yy]* ]] || fail 2 "$* missing" "install it: apt-get install $*"
  fi
  say "installing $*"
  { as_root apt-get -qq update && as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"; } ||
    fail 2 "$* could not be installed" "as root: apt-get update && apt-get install $*"
}

# Debian keeps the means to make virtual environments in a package of its own.
make_venv() {
  local python version
  find_python
  version="$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
  "$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install "python$version-venv"
  step="make the virtual environment $venv"
  say "making $venv with Python $version"
  rm -rf "$venv"
  "$python" -m venv "$venv" >&2 || { rm -rf "$venv" && return 1; }
}

# set_up_environment core|launchers|dev: what the lock file says, and this checkout itself. Skipped when it is there.
set_up_environment() {
  local lock="$root/requirements/$1.txt" marker="$venv/garrison-$1.lock" fingerprint
  "$venv/bin/python" -c '' 2>/dev/null || make_venv
  step="set up $venv"
  fingerprint="$(cat "$lock" "$root/pyproject.toml" | sha256sum | cut -d' ' -f1) $root"
  [[ -f $marker && $(<"$marker") == "$fingerprint" ]] && return
  say "installing $(grep -c '==' "$lock") locked packages ($1); this takes a minute the first time"
  step="install $lock (is the network reachable?)"
  "$venv/bin/python" -m pip install --quiet --require-hashes -r "$lock" >&2
  step="install garrison into $venv"
  "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable "$root" >&2
  printf '%s\n' "$fingerprint" >"$marker"
}

# missing_launchers [--config FILE] [--env NAME] …: those of npx, uvx, … that the fleet needs, that are missing here,
# and that we could bring.
missing_launchers() {
  local options=()
  while (($#)); do
    case "$1" in
      --config | --env) options+=("$1" "$2") && shift 2 ;;
      --config=* | --env=*) options+=("$1") && shift ;;
      *) shift ;;
    esac
  done
  # What is wrong with the configuration is said later, by `garrison up`.
  { "$venv/bin/garrison" check --output json ${options[@]+"${options[@]}"} 2>/dev/null || true; } | "$venv/bin/python" -c '
import json, sys
from garrison.surfaces.launchers import BUNDLED
text = sys.stdin.read()
missing = json.loads(text)["missing_launchers"] if text else {}
print(" ".join(sorted(BUNDLED & missing.keys())))'
}
