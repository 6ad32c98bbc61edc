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
set_up_environment dev

step="set up Node.js in $venv"
"$venv/bin/python" -m garrison.surfaces.launchers
# Ours in front: other people's servers and the conformance suite need Node.js 22 or newer.
export PATH="$venv/launchers:$venv/bin:$PATH"

step="install the npm servers of tests/npm"
npm_lock="$(sha256sum tests/npm/package-lock.json)"
if [[ ! -f tests/npm/node_modules/.lock || $(<tests/npm/node_modules/.lock) != "$npm_lock" ]]; then
  say "installing the npm servers that the tests use"
  (cd tests/npm && npm ci --silent --ignore-scripts >&2)
  printf '%s\n' "$npm_lock" >tests/npm/node_modules/.lock
fi

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
