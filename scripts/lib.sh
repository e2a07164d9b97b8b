# shellcheck shell=bash
# What the demo, the tests and the benchmark share: a scratch folder, an unprivileged user, a private copy of PostgreSQL,
# a throw-away cluster, the local Segment sandbox, how to become root, and an end that leaves nothing behind. Source it; it runs nothing.
#
#   . scripts/lib.sh
#   pg_find; scratch_begin; kseg_build; kseg_stage; pg_copy; kseg_install; cluster_start NAME; …
#   (KSEG_TOP is the checkout.)
#
# Everything that is started lives under $SCRATCH: its files are there, its processes run a program from there or carry
# SCRATCH in their environment. That is how scratch_end finds them, and why it can never meet somebody else's.
#
# Refuses to touch PostgreSQL clusters, folders or processes that it did not make itself.

KSEG_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

# Prints how to become root: nothing for root, sudo, or (fails) not at all. Without a terminal nobody can give a password.
root_command() {
  if [ "$(id -u)" = 0 ]; then return 0; fi
  command -v sudo >/dev/null || return 1
  if [ -t 0 ]; then echo sudo; elif sudo -n true 2>/dev/null; then echo "sudo -n"; else return 1; fi
}

# ---- the PostgreSQL to work with

# Prints the pg_config to use, or nothing: $PG_CONFIG, 15's (the first target), then the newest that has PGXS.
pg_config_find() {
  local candidate
  if [ -n "${PG_CONFIG:-}" ]; then command -v "$PG_CONFIG" || true; return; fi
  for candidate in /usr/lib/postgresql/15/bin/pg_config $(printf '%s\n' /usr/lib/postgresql/*/bin/pg_config | sort -Vr) \
    "$(command -v pg_config || true)"; do
    # pg_config comes with the client library too; what builds extensions is PGXS.
    if [ -x "$candidate" ] && [ -f "$("$candidate" --pgxs)" ]; then echo "$candidate"; return; fi
  done
}

# Sets PG_CONFIG.
pg_find() {
  PG_CONFIG=$(pg_config_find)
  [ -n "$PG_CONFIG" ] || die "there is no pg_config: run scripts/install-deps, or set PG_CONFIG"
  [ -f "$("$PG_CONFIG" --pgxs)" ] || die "$PG_CONFIG has no PGXS: install PostgreSQL's server development files"
  export PG_CONFIG
}

# Makes a copy of PostgreSQL's programs, libraries and shared files under $SCRATCH/pg, without its bitcode, and sets PG_BIN.
# PostgreSQL finds its files relative to its own program, so the copy is an installation of its own.
pg_copy() {
  local bin lib share include root path
  bin=$("$PG_CONFIG" --bindir) lib=$("$PG_CONFIG" --pkglibdir) share=$("$PG_CONFIG" --sharedir)
  include=$("$PG_CONFIG" --includedir)
  root=$bin
  while [[ $lib/ != "$root"/* || $share/ != "$root"/* ]]; do root=$(dirname "$root"); done
  [ "$root" != / ] || root=
  for path in "$bin" "$lib" "$share"; do
    mkdir -p "$SCRATCH/pg${path#"$root"}"
    tar -C "$path" --exclude=./bitcode -cf - . | tar -C "$SCRATCH/pg${path#"$root"}" -xf -
  done
  mkdir -p "$(dirname "$SCRATCH/pg${include#"$root"}")"
  [ -e "$SCRATCH/pg${include#"$root"}" ] || ln -s "$include" "$SCRATCH/pg${include#"$root"}"
  PG_BIN=$SCRATCH/pg${bin#"$root"}
  [ "$(id -u)" != 0 ] || chown -R "$SCRATCH_USER" "$SCRATCH/pg"
}

# ---- the scratch folder, and whose it is

# Makes $SCRATCH, owned by $SCRATCH_USER: the caller, or for root somebody without rights, because PostgreSQL refuses root.
# Registers the clean-up for every end of the shell.
scratch_begin() {
  local base
  SCRATCH_USER=$(id -un)
  if [ "$(id -u)" = 0 ]; then
    SCRATCH_USER=nobody
    if id postgres >/dev/null 2>&1; then SCRATCH_USER=postgres; fi
  fi
  # Short, for Unix socket names must fit into 107 bytes; and where the other user can go.
  base=${TMPDIR:-/tmp}
  if [ ${#base} -gt 40 ] || ! user_run test -w "$base" -a -x "$base" 2>/dev/null; then base=/tmp; fi
  SCRATCH=$(mktemp -d "$base/kseg.XXXXXX")
  trap scratch_end EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  mkdir "$SCRATCH/tmp" "$SCRATCH/home"
  [ "$(id -u)" != 0 ] || chown -R "$SCRATCH_USER" "$SCRATCH"
  export SCRATCH TMPDIR=$SCRATCH/tmp
  # Root's own programs (a Python in its home, say) are not the other user's to run.
  [ "$(id -u)" != 0 ] || export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  # What the caller's environment says about his own PostgreSQL is not meant for ours.
  unset PGHOST PGHOSTADDR PGPORT PGDATABASE PGUSER PGPASSWORD PGSERVICE PGOPTIONS PGDATA PGSSLMODE PGCLIENTENCODING PSQLRC
  cd "$SCRATCH" || exit 1
}

# Runs a command as $SCRATCH_USER.
user_run() {
  if [ "$(id -u)" = 0 ]; then
    setpriv --reuid="$SCRATCH_USER" --regid="$(id -g "$SCRATCH_USER")" --init-groups -- \
      env HOME="${SCRATCH:-/}/home" USER="$SCRATCH_USER" LOGNAME="$SCRATCH_USER" "$@"
  else
    "$@"
  fi
}

# Runs a command so that a signal to this shell is answered at once, not when the command has ended.
wait_run() {
  "$@" &
  wait $!
}

# Prints the ids of the living processes that belong to $SCRATCH.
scratch_processes() {
  (
    export -n SCRATCH          # so that the programs that look do not find themselves
    {
      find /proc -maxdepth 2 -path '/proc/[0-9]*/exe' -lname "$SCRATCH/*" || true
      grep -lzxF "SCRATCH=$SCRATCH" /proc/[0-9]*/environ || true      # processes come and go meanwhile
    } 2>/dev/null | cut -d/ -f3 | sort -un
  )
}

# Asks what is left of $SCRATCH's processes to end, and after five seconds makes them.
scratch_stop() {
  local turn pid pids
  for turn in $(seq 1 50); do
    pids=$(scratch_processes)
    [ -n "$pids" ] || return 0
    if [ "$turn" = 1 ]; then
      for pid in $pids; do
        case $(readlink "/proc/$pid/exe") in
          */postgres) kill -INT "$pid" ;;     # a fast shutdown; TERM would wait for its clients
          *) kill -TERM "$pid" ;;
        esac
      done 2>/dev/null
    fi
    sleep 0.1
  done
  for pid in $pids; do kill -KILL "$pid"; done 2>/dev/null
}

# Ends this shell's own background jobs. Most have ended with what they waited for; one that runs under sudo hears only root.
jobs_stop() {
  local pid
  for pid in $(jobs -p); do
    # shellcheck disable=SC2046  # sudo and its options, or nothing
    kill "$pid" 2>/dev/null || [ ! -d "/proc/$pid" ] || $(root_command) kill "$pid"
  done
  wait
}

# The end: stops what runs, removes what was made. Called by the shell's own end; may be called twice.
scratch_end() {
  local status=$?
  set +e                       # to the end, whatever happens
  trap '' INT TERM HUP
  if [ -n "${SCRATCH:-}" ] && [ -d "$SCRATCH" ]; then
    cd /
    scratch_stop
    jobs_stop
    rm -rf "$SCRATCH"
  fi
  return $status
}

# ---- kseg in it

# Builds in the checkout, anew when the last build was for another PostgreSQL. Prints only what went wrong.
kseg_build() {
  local log=$SCRATCH/build.log mark=$KSEG_TOP/build/pg_config
  local make=(make -C "$KSEG_TOP" --no-print-directory -f pgxs.mk PG_CONFIG="$PG_CONFIG")
  if [ -f "$mark" ] && [ "$(cat "$mark")" != "$("$PG_CONFIG" --version)" ]; then "${make[@]}" clean >"$log" 2>&1; fi
  wait_run "${make[@]}" -j"$(nproc)" all >"$log" 2>&1 || { tail -n 60 "$log"; return 1; }
  mkdir -p "$KSEG_TOP/build"
  "$PG_CONFIG" --version >"$mark"
}

# Copies the checkout, built files too, to $SCRATCH/src: the unprivileged user may not be able to read where it lies.
kseg_stage() {
  mkdir "$SCRATCH/src"
  tar -C "$KSEG_TOP" --exclude=./.git -cf - . | tar -C "$SCRATCH/src" -xf -
  [ "$(id -u)" != 0 ] || chown -R "$SCRATCH_USER" "$SCRATCH/src"
}

# Installs the staged kseg into the private copy of PostgreSQL.
kseg_install() {
  user_run make -C "$SCRATCH/src" --no-print-directory -f pgxs.mk PG_CONFIG="$PG_BIN/pg_config" install \
    >"$SCRATCH/install.log" 2>&1 || { tail -n 60 "$SCRATCH/install.log"; return 1; }
}

# ---- a throw-away cluster, reached by a Unix socket only

# Makes and starts the cluster NAME under $SCRATCH with the settings given as further arguments, and sets PGHOST, PGPORT,
# PGUSER and PGDATABASE for it. It is never worth a disk's wait: nobody will read it after a crash.
cluster_start() {
  local name=$1 setting; shift
  CLUSTER_DATA=$SCRATCH/$name
  export PGHOST=$SCRATCH PGPORT=5432 PGUSER=postgres PGDATABASE=postgres
  user_run "$PG_BIN/initdb" -D "$CLUSTER_DATA" -U postgres -A trust -E UTF8 --no-locale --no-sync >"$SCRATCH/initdb.log" 2>&1 ||
    { tail -n 30 "$SCRATCH/initdb.log"; return 1; }
  {
    printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$SCRATCH'" 'fsync = off' 'full_page_writes = off'
    for setting; do printf '%s\n' "$setting"; done
  } >>"$CLUSTER_DATA/postgresql.conf"
  user_run "$PG_BIN/pg_ctl" -D "$CLUSTER_DATA" -l "$SCRATCH/$name.log" -w -s start >/dev/null || { tail -n 30 "$SCRATCH/$name.log"; return 1; }
}

cluster_stop() {
  user_run "$PG_BIN/pg_ctl" -D "$CLUSTER_DATA" -w -s -m fast stop
}

# ---- the local Segment sandbox

# Starts the staged sandbox for WRITE_KEY on a free port of the loopback (or $SANDBOX_PORT) with the options that follow; its
# log and port lie in $SANDBOX_DIR, default $SCRATCH. Sets SANDBOX_URL and SANDBOX_PID.
sandbox_start() {
  local key=$1 dir=${SANDBOX_DIR:-$SCRATCH} turn; shift
  user_run python3 -B "$SCRATCH/src/test/sandbox/segment_sandbox.py" --port "${SANDBOX_PORT:-0}" --port-file "$dir/sandbox.port" \
    --write-key "$key" "$@" >"$dir/sandbox.log" 2>&1 </dev/null &
  SANDBOX_PID=$!
  for turn in $(seq 1 200); do
    if [ -s "$dir/sandbox.port" ]; then
      SANDBOX_URL=http://127.0.0.1:$(tr -d '[:space:]' <"$dir/sandbox.port")
      export SANDBOX_URL
      return 0
    fi
    kill -0 "$SANDBOX_PID" 2>/dev/null || break
    sleep 0.05
  done
  echo "the sandbox did not start after $turn looks:"; tail -n 30 "$dir/sandbox.log"
  return 1
}
