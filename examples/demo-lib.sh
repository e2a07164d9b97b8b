# shellcheck shell=bash
# What the demos share: how they speak, and how they show SQL and its answers. Needs scripts/lib.sh before it.

bold='' dim='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi

step=0
say() { step=$((step + 1)); printf '\n%s%d. %s%s\n' "$bold" "$step" "$1" "$plain"; }
indent() { sed -e '/^$/d' -e 's/^/   /'; }

# Runs SQL of stdin or of a file, as the cluster's user, in the examples' folder; a failure ends the demo.
sql() { wait_run user_run "$PG_BIN/psql" -X -q -v ON_ERROR_STOP=1 -v write_key=demo-key -v endpoint="${SANDBOX_URL:-}" -v bootstrap="${BOOTSTRAP:-}" "$@" </dev/null; }

# Shows the SQL of a file, then what it answers.
sql_show() {
  printf '%s' "$dim"; indent <"$1"; printf '%s' "$plain"
  sql -P footer=off "${@:2}" -f "$1" | indent
}
