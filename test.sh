#!/usr/bin/env bash
# Sets up what the tests need and runs all checks and tests. Arguments go to pytest: ./test.sh -m "not slow"
set -Eeuo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/environment.sh
source "$root/scripts/environment.sh"
cd "$root"
assume_yes=yes
[[ ${CI:-} != true ]] || export NO_COLOR=1 PY_COLORS=0 TERM=dumb

command -v git >/dev/null || apt_install git ca-certificates
[[ -n $(compgen -G "/usr/lib/postgresql/*/bin/initdb") ]] || apt_install postgresql
command -v redis-server >/dev/null || apt_install redis-server
command -v rsyslogd >/dev/null || [[ -x /usr/sbin/rsyslogd ]] || apt_install rsyslog rsyslog-gnutls
set_up_environment dev

step="set up Node.js in $venv"
"$venv/bin/python" -m garrison.surfaces.launchers
# Ours in front: other people's servers and the conformance suite need Node.js 22 or newer.
export PATH="$venv/launchers:$venv/bin:$PATH"

install_npm() { # install_npm FOLDER WHAT: what its lock file says, unless that is there
  step="install $2 of $1"
  local lock
  lock="$(sha256sum "$1/package-lock.json")"
  if [[ ! -f $1/node_modules/.lock || $(<"$1/node_modules/.lock") != "$lock" ]]; then
    say "installing $2"
    (cd "$1" && npm ci --silent --ignore-scripts >&2)
    printf '%s\n' "$lock" >"$1/node_modules/.lock"
  fi
}
install_npm tests/npm "the npm servers that the tests use"
install_npm tests/conformance "the official conformance suite"

run() {
  step="pass: $*"
  say "── $*"
  "$@"
}

run ruff check src tests
run ruff format --check src tests
run mypy
run lint-imports
step="pass the tests"
say "── pytest $*"
exec pytest "$@"
