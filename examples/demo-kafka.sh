#!/bin/bash
# The demo of Kafka: customers' future purchases, computed in SQL from real data, become a topic, and the topic a table.
#
#   make demo-kafka                 a minute or two the first time, and nothing is left behind
#
# Runs the SQL files beside it, in order, in a throw-away PostgreSQL, against a throw-away Apache Kafka (test/kafka/broker).
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
. "$KSEG_TOP/examples/demo-lib.sh"

# Starts Kafka as the cluster's user; its jars lie in the caller's home, where that user may not look.
kafka_start() {
  local jars
  jars=$(wait_run "$KSEG_TOP/test/kafka/broker" bring) || die "Kafka's jars could not be brought"
  cp -r "$jars" "$SCRATCH/jars"
  [ "$(id -u)" != 0 ] || chown -R "$SCRATCH_USER" "$SCRATCH/jars"
  export KSEG_KAFKA_JARS=$SCRATCH/jars
  wait_run user_run "$SCRATCH/src/test/kafka/broker" start "$SCRATCH/kafka" >"$SCRATCH/kafka.log" 2>&1 ||
    { cat "$SCRATCH/kafka.log" >&2; die "Kafka does not start"; }
  BOOTSTRAP=$(cat "$SCRATCH/kafka/bootstrap")
  user_run "$SCRATCH/src/test/kafka/broker" tool "$SCRATCH/kafka" org.apache.kafka.tools.TopicCommand --bootstrap-server BOOTSTRAP \
    --create --topic predictions --partitions 3 >/dev/null
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
  kafka_start
  cd "$SCRATCH/src/examples"
  printf '%skseg %s on PostgreSQL %s: from rows to Kafka and back%s\n' "$bold" \
    "$(sql -At -c "SELECT default_version FROM pg_available_extensions WHERE name = 'kseg'")" "$(sql -At -c 'SHOW server_version')" "$plain"
}

begin
say "69,659 purchases of 23,570 customers: how often will each buy in the next 39 weeks?  (examples/predict.sql)"
sql -f predict.sql
say "Say once where Kafka is  (a broker of this machine's, at $BOOTSTRAP)"
sql_show kafka-connect.sql -t
say "Push the predictions to a topic: the customer is the key"
sql_show kafka-produce.sql
say "Let kseg look at the topic and make a table of it"
sql_show kafka-import.sql
say "What the topic says, beside what came then"
sql_show kafka-read.sql
user_run "$SCRATCH/src/test/kafka/broker" stop "$SCRATCH/kafka"
printf '\nDone in %s s; nothing is left running.\n' "$SECONDS"
