# kseg: the targets people use. The build itself (PGXS) is in pgxs.mk, because PGXS has a `check` of its own.
PG_CONFIG ?= pg_config
BUILD = $(MAKE) --no-print-directory -f pgxs.mk PG_CONFIG=$(PG_CONFIG)

all:
	@$(BUILD) all

install uninstall clean:
	@$(BUILD) $@

# Install what is missing, build, run every test. T=regress, T=t/003_name … runs a part of it.
check:
	@scripts/install-deps check
	@test/run $(T)

# The same, and build and regression tests on PostgreSQL 17 and 18 in chroots.
check-all:
	@scripts/install-deps check-all
	@test/check-all

# The main job on real data, against a local Segment sandbox. KEEP=1 leaves it running to play with.
demo:
	@scripts/install-deps demo
	@KEEP=$(KEEP) examples/demo.sh

# Rows to a topic, a topic to rows, against a real broker.
demo-kafka:
	@scripts/install-deps demo-kafka
	@examples/demo-kafka.sh

bench-segment:
	@scripts/install-deps check
	@test/bench/segment

bench-kafka:
	@scripts/install-deps check
	@test/bench/kafka

bench-ingest:
	@scripts/install-deps check
	@test/bench/ingest

format:
	clang-format-14 -i $$(git ls-files '*.c' '*.h')

lint:
	@scripts/install-deps lint
	@scripts/lint

.PHONY: all install uninstall clean check check-all demo demo-kafka bench-segment bench-kafka bench-ingest format lint
