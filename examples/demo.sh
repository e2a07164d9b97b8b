#!/bin/bash
# The demo: customers' future purchases, computed in SQL from real data, arrive at (a stand-in for) Segment.
#
#   make demo                 a minute at most, and nothing is left behind
#   make demo KEEP=1          leaves PostgreSQL and the sandbox's page open until you leave
#
# Runs the SQL files beside it, in order, in a throw-away PostgreSQL that only its owner can reach.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

. "$KSEG_TOP/examples/demo-lib.sh"

# Prints one figure of the sandbox.
received() {
  python3 -c 'import json, sys, urllib.request as u; print(format(json.load(u.urlopen(sys.argv[1] + "/_sandbox/stats"))[sys.argv[2]], ","))' \
    "$SANDBOX_URL" "$1"
}

# Prints the newest event of a customer and a type as the receiver has it, a line for each field.
received_event() {
  python3 -c '
import json, sys, urllib.parse as p, urllib.request as u
url, user, kind = sys.argv[1:]
found = json.load(u.urlopen(url + "/_sandbox/events?" + p.urlencode({"user_id": user, "type": kind, "limit": 1})))["events"]
fields = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in found[0]["event"].items()]
print("{\n" + ",\n".join(fields) + "\n}")' "$SANDBOX_URL" "$@"
}

begin() {
  pg_find
  scratch_begin
  [ -f "$KSEG_TOP/build/kseg-courier" ] || echo "Building kseg, once ..."
  kseg_build || die "kseg does not build"
  kseg_stage
  pg_copy
  kseg_install || die "kseg does not install"
  cluster_start postgresql || die "could not start PostgreSQL"
  sandbox_start demo-key --keep 100000 || die "could not start the sandbox"
  cd "$SCRATCH/src/examples"
  printf '%skseg %s on PostgreSQL %s: from rows to Segment%s, which a local server plays here\n' "$bold" \
    "$(sql -At -c "SELECT default_version FROM pg_available_extensions WHERE name = 'kseg'")" "$(sql -At -c 'SHOW server_version')" "$plain"
}

predict() {
  say "69,659 purchases of 23,570 customers: how often will each buy in the next 39 weeks?  (examples/predict.sql)"
  sql -f predict.sql
  sql -P footer=off -c "
    SELECT customer_id, frequency, round(recency::numeric, 2) AS recency, round(age::numeric, 2) AS age,
           round(probability_alive::numeric, 4) AS probability_alive, round(expected_purchases::numeric, 3) AS expected_purchases
    FROM shop.prediction WHERE customer_id BETWEEN '00001' AND '00005' ORDER BY customer_id" | indent
  # A prediction is as good as what came: the customers it ranks highest, a tenth of all, against the others.
  sql -A -t -c "
    WITH came AS (
      SELECT customer_id, count(DISTINCT purchased_on) AS days FROM shop.purchase WHERE purchased_on > date '1997-09-30' GROUP BY 1),
    ranked AS (
      SELECT expected_purchases::numeric AS expected, coalesce(days, 0) AS days, ntile(10) OVER (ORDER BY expected_purchases DESC) AS tenth
      FROM shop.prediction LEFT JOIN came USING (customer_id))
    SELECT format('What came then: the tenth ranked highest bought %s times each (predicted: %s), the others %s times (%s).',
                  round(avg(days) FILTER (WHERE tenth = 1), 1), round(avg(expected) FILTER (WHERE tenth = 1), 1),
                  round(avg(days) FILTER (WHERE tenth > 1), 1), round(avg(expected) FILTER (WHERE tenth > 1), 1))
    FROM ranked" | indent
}

push() {
  local before after
  say "Say once where Segment is  (the stand-in at $SANDBOX_URL)"
  sql_show connect.sql -t

  say "Push the predictions, an event for each customer"
  sql_show track.sql

  say "Push what is known of each customer, as traits"
  sql_show identify.sql

  say "What the receiver has of customer 00004"
  received_event 00004 track | indent
  before=$(received accepted)

  say "Once more: the message ids are made of the data, so the receiver drops what it has"
  sql -P footer=off -f track.sql | indent
  after=$(received accepted)
  printf '   The receiver had %s events and has %s; it dropped %s repeated ones.\n' "$before" "$after" "$(received repeated)"
  [ "$before" = "$after" ] || die "a second run changed something at the receiver"
}

# Everything stays until the user leaves psql or, without a terminal, until this ends.
keep() {
  say "Yours to play with"
  cat <<TEXT | indent
Segment's side, live:   $SANDBOX_URL
another psql:           $PG_BIN/psql -h $SCRATCH -U postgres
what would be sent:     SELECT * FROM kseg.segment_preview('SELECT * FROM shop.prediction', event => 'Hello', user_id => 'customer_id');
is Segment there:       SELECT * FROM kseg.test_server('segment');
TEXT
  if [ -t 0 ] && [ -t 1 ]; then
    printf '   Leaving this psql (\\q) stops and removes it all.\n\n'
    trap : INT                 # Ctrl-C is psql's: it ends a statement, not the demo
    user_run "$PG_BIN/psql" -X || true
  else
    printf '   To stop and remove it all: kill %s\n' $$
    wait_run tail --pid="$SANDBOX_PID" -f /dev/null
  fi
}

begin
predict
push
if [ "${KEEP:-}" = 1 ]; then keep; else printf '\nDone in %s s; nothing is left running. To play with it: make demo KEEP=1\n' "$SECONDS"; fi
