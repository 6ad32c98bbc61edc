#!/usr/bin/env bash
# From a fresh checkout to a running fleet. Sets up .venv beside this file once, then hands over to `garrison up`.
set -Eeuo pipefail

usage() {
  cat <<'TEXT'
Usage: ./deploy.sh [OPTIONS]

Sets up what Garrison needs, finds the fleet (garrison.yaml, else the .mcp.json family of the current folder, else a
demo fleet), starts it in the background, makes a real call through the gateway to each server, and says how to
connect. A second run changes nothing and reports.

  --config FILE       garrison.yaml or any client's file
  --env NAME          another environment: state in .garrison-NAME, configuration from garrison.NAME.yaml
  --home DIR          folder with all state (default: .garrison)
  --listen HOST:PORT  where to listen (default: 127.0.0.1:8420; port 0 takes a free one)
  --output FORM       table, json or yaml
  --foreground        run in this terminal until Ctrl-C or SIGTERM
  --status            show the fleet and leave it alone
  --rollback          bring up the configuration before the current one
  --down              end the fleet
  --yes               do not ask before installing system packages
  --help              this text

Exit codes are those of `garrison` (see README.md). PYTHON names the interpreter to use.
TEXT
}

root="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/environment.sh
source "$root/scripts/environment.sh"

needs_value() {
  [[ -n ${2:-} ]] || fail 2 "$1 needs a value" "see ./deploy.sh --help"
}

action=up
assume_yes=no
place=()      # for every command: which fleet is meant
wanted=()     # for `up` alone
while (($#)); do
  case "$1" in
    --config | --listen) needs_value "$@" && wanted+=("$1" "$2") && shift 2 ;;
    --config=* | --listen=* | --foreground) wanted+=("$1") && shift ;;
    --home | --env | --output) needs_value "$@" && place+=("$1" "$2") && shift 2 ;;
    --home=* | --env=* | --output=*) place+=("$1") && shift ;;
    --rollback) wanted+=("$1") && shift ;;
    --status | --down) action="${1#--}" && shift ;;
    --yes | -y) assume_yes=yes && shift ;;
    --help | -h) usage && exit 0 ;;
    *) fail 2 "unknown option $1" "see ./deploy.sh --help" ;;
  esac
done

if [[ $action != up ]]; then
  [[ -x $root/.venv/bin/garrison ]] || fail 3 "nothing is set up here" "run ./deploy.sh first"
  exec "$root/.venv/bin/garrison" "$action" ${place[@]+"${place[@]}"}
fi

set_up_environment core
say "machine: $("$root/.venv/bin/python" -c 'from garrison.surfaces.hardware import hardware; print(hardware().line)')"

# Servers that are started with npx or uvx need those programs; a machine without them gets ours.
missing="$(missing_launchers ${wanted[@]+"${wanted[@]}"} ${place[@]+"${place[@]}"})"
if [[ -n $missing ]]; then
  say "the fleet needs $missing, which this machine does not have"
  set_up_environment launchers
fi

step="start the fleet"
[[ " ${wanted[*]-} " == *" --foreground "* ]] || wanted+=(--verify)
exec "$root/.venv/bin/garrison" up ${wanted[@]+"${wanted[@]}"} ${place[@]+"${place[@]}"}
