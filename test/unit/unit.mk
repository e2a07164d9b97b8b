# The courier's own tests: C programs that need no PostgreSQL. Run from the top: make -f test/unit/unit.mk check
#
#   check       every unit program, under the address and undefined behaviour sanitizers, against a courier built so too
#   fuzz-smoke  every fuzz target for FUZZ_SECONDS (20); a skip where clang has no libFuzzer
#   build       the programs alone, and for benchmarks build/unit/receiver and build/unit/feed (optimized, no sanitizer)
#
# Both tests print one TAP stream for each program.
UNIT = test/unit
OUT = build/unit
FUZZ_SECONDS ?= 20
CLANG ?= $(firstword $(foreach name,clang clang-14 clang-16 clang-19,$(shell command -v $(name))))

PACKAGES = libcurl rdkafka json-c libdeflate
UNIT_CFLAGS = -std=gnu11 -g -Wall -Wextra -Werror -Isrc -I$(UNIT) -DKSEG_BUILD='"unit"' $(shell pkg-config --cflags $(PACKAGES))
UNIT_LIBS = $(shell pkg-config --libs $(PACKAGES))
SANITIZE = -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

COURIER = $(wildcard src/courier/*.c src/reader/*.c src/wire/*.c)
# Without main.c it is what unit programs and fuzz targets are linked with.
PARTS = $(filter-out src/courier/main.c,$(COURIER))
HEADERS = $(wildcard src/courier/*.h src/reader/*.h src/wire/*.h $(UNIT)/*.h)

# Programs that call the courier's functions, and programs that talk to the courier.
PURE = wire config answer batch reader reader_csv reader_oracle records kafka_plan kafka_follow_parts kafka_config
TALK = deliver halving faults talk check kafka_consume kafka_consume_ends kafka_follow kafka_produce kafka_failures kafka_check
TESTS = $(PURE:%=$(OUT)/test_%) $(TALK:%=$(OUT)/test_%)
FUZZ = wire config answer reader records

SAN_OBJS = $(PARTS:%.c=$(OUT)/san/%.o)
FUZZ_OBJS = $(PARTS:%.c=$(OUT)/fuzz/%.o)

build: $(TESTS) $(OUT)/courier $(OUT)/receiver $(OUT)/feed $(OUT)/kafka_pull

check: $(TESTS) $(OUT)/courier
	@status=0; for program in $(TESTS); do \
	  echo "# $$program"; \
	  KSEG_COURIER=$(OUT)/courier $$program || status=1; \
	done; exit $$status

$(OUT)/san/%.o: %.c $(HEADERS) $(UNIT)/unit.mk
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) $(SANITIZE) -c -o $@ $<

$(OUT)/courier: $(OUT)/san/src/courier/main.o $(SAN_OBJS)
	$(CC) $(SANITIZE) -o $@ $^ $(UNIT_LIBS)

$(PURE:%=$(OUT)/test_%): $(OUT)/test_%: $(OUT)/san/$(UNIT)/test_%.o $(SAN_OBJS)
	$(CC) $(SANITIZE) -o $@ $^ $(UNIT_LIBS)

$(TALK:%=$(OUT)/test_%): $(OUT)/test_%: $(OUT)/san/$(UNIT)/test_%.o $(OUT)/san/$(UNIT)/harness.o $(OUT)/san/$(UNIT)/harness_server.o $(OUT)/san/src/wire/wire.o \
    $(OUT)/san/src/wire/wire_message.o $(OUT)/san/src/wire/wire_follow.o
	$(CC) $(SANITIZE) -o $@ $^ $(UNIT_LIBS)

# Brokers of their own, and what a job of Kafka is told and says.
$(patsubst %,$(OUT)/test_%,$(filter kafka_%,$(TALK))): $(OUT)/san/$(UNIT)/harness_kafka.o
$(OUT)/test_kafka_consume $(OUT)/test_kafka_consume_ends: $(OUT)/san/$(UNIT)/harness_consume.o
$(OUT)/test_kafka_follow: $(OUT)/san/$(UNIT)/harness_follow.o

$(OUT)/receiver: test/bench/receiver.c $(UNIT)/unit.mk
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -O2 -o $@ $< $(UNIT_LIBS)

# The feeder and the courier it feeds must be of one build: KSEG_BUILD=… as in pgxs.mk for the real courier.
$(OUT)/feed: $(UNIT)/feed.c src/wire/wire.c $(HEADERS) $(UNIT)/unit.mk
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -O2 -o $@ $(UNIT)/feed.c src/wire/wire.c
$(OUT)/feed-courier: $(COURIER) $(HEADERS) $(UNIT)/unit.mk
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -O2 -o $@ $(COURIER) $(UNIT_LIBS)

# What the courier alone does: 1 M events over 4 lanes to a receiver, plain and packed.
bench-courier: $(OUT)/feed $(OUT)/feed-courier $(OUT)/receiver
	@rm -f $(OUT)/port; $(OUT)/receiver --port-file $(OUT)/port & receiver=$$!; trap 'kill $$receiver; wait' EXIT; \
	until [ -s $(OUT)/port ]; do kill -0 $$receiver || exit 1; done; \
	echo none; $(OUT)/feed $(OUT)/feed-courier $$(cat $(OUT)/port) && \
	echo gzip; $(OUT)/feed $(OUT)/feed-courier $$(cat $(OUT)/port) --gzip

# Reads a topic through a courier: build/unit/kafka_pull build/unit/feed-courier HOST:PORT TOPIC.
$(OUT)/kafka_pull: test/bench/kafka_pull.c src/wire/wire.c src/wire/wire_message.c $(HEADERS) $(UNIT)/unit.mk
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -O2 -o $@ $(filter %.c,$^)

# The message reader alone, against json-c: READER_BENCH="messages rounds [file of messages, one a line]".
$(OUT)/reader_bench: test/bench/reader_bench.c $(wildcard src/reader/*.c) $(HEADERS) $(UNIT)/unit.mk
	@mkdir -p $(@D)
	$(CC) $(UNIT_CFLAGS) -O2 -o $@ $(filter %.c,$^) $(UNIT_LIBS)

bench-reader: $(OUT)/reader_bench
	@$(OUT)/reader_bench $(READER_BENCH)

FUZZ_FLAGS = -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all

$(OUT)/fuzz/%.o: %.c $(HEADERS) $(UNIT)/unit.mk
	@mkdir -p $(@D)
	$(CLANG) $(UNIT_CFLAGS) $(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -c -o $@ $<

$(OUT)/fuzz_%: $(OUT)/fuzz/$(UNIT)/fuzz_%.o $(FUZZ_OBJS)
	$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer -o $@ $^ $(UNIT_LIBS)

# libFuzzer's runtime is a package of its own: try whether this clang has it.
HAS_FUZZER = $(if $(CLANG),$(shell echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n > 9; }' \
	| $(CLANG) -fsanitize=fuzzer -x c - -o /dev/null 2>/dev/null && echo yes))

ifeq ($(HAS_FUZZER),yes)
fuzz-smoke: $(FUZZ:%=$(OUT)/fuzz_%)
	@status=0; number=0; for target in $(FUZZ); do \
	  number=$$((number + 1)); mkdir -p $(OUT)/corpus/$$target; \
	  if $(OUT)/fuzz_$$target -max_total_time=$(FUZZ_SECONDS) -max_len=8192 -timeout=5 -verbosity=0 \
	      -artifact_prefix=$(OUT)/corpus/ $(OUT)/corpus/$$target $(UNIT)/corpus/$$target >$(OUT)/fuzz_$$target.log 2>&1; \
	  then echo "ok $$number - fuzz_$$target for $(FUZZ_SECONDS) s"; \
	  else echo "not ok $$number - fuzz_$$target for $(FUZZ_SECONDS) s"; sed 's/^/# /' $(OUT)/fuzz_$$target.log; status=1; fi; \
	done; echo "1..$$number"; exit $$status
else
fuzz-smoke:
	@echo '1..0 # SKIP there is no clang with libFuzzer'
endif

clean:
	rm -rf $(OUT)

.PHONY: build check bench-courier bench-reader fuzz-smoke clean
.SECONDARY:
