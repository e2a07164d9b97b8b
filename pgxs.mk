# Builds and installs kseg.so and, beside it, kseg-courier.
#
# Two programs, two worlds: kseg.so is compiled with PostgreSQL's headers and none of the libraries, the courier with the
# libraries and none of PostgreSQL's headers. src/wire is compiled once for each.

MODULE_big = kseg
EXTENSION = kseg
DATA = $(wildcard sql/kseg--*.sql)

KSEG_SOURCES = $(wildcard src/*.c src/base/*.c src/wire/*.c src/reader/*.c src/link/*.c src/server/*.c src/event/*.c src/sink/*.c src/source/*.c src/run/*.c src/stream/*.c)
KSEG_HEADERS = $(wildcard src/*.h src/*/*.h)
OBJS = $(KSEG_SOURCES:.c=.o)

KSEG_VERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" kseg.control)
# What both programs tell each other at the start: a courier of another build is refused.
KSEG_BUILD := $(KSEG_VERSION)-$(shell cat $(sort $(wildcard src/wire/*.[ch] src/link/*.[ch] src/reader/*.[ch] src/courier/*.[ch])) | cksum | cut -d' ' -f1)

# COPT carries a builder's own flags (-Werror in CI), as in PostgreSQL.
PG_CPPFLAGS = -Isrc -DKSEG_VERSION='"$(KSEG_VERSION)"' -DKSEG_BUILD='"$(KSEG_BUILD)"'
PG_CFLAGS = -std=gnu11 -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Wno-sign-compare
# Only what PostgreSQL looks up by name is visible, so that no name of ours binds to one of the server's or another library's.
SHLIB_LINK = -Wl,--version-script=src/kseg.map

# LLVM bitcode is for inlining small functions into queries; a run is not one, and this keeps clang out of the build.
override with_llvm := no

EXTRA_CLEAN = build

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

$(OBJS): $(KSEG_HEADERS) pgxs.mk kseg.control

# Whoever spells KSEG_BUILD is compiled anew when it changes: otherwise a change of one program's source leaves the other
# with the old build, and each run refuses the courier.
BUILD_SPELLERS := $(basename $(shell grep -l KSEG_BUILD src/*/*.c))
$(BUILD_SPELLERS:=.o) $(BUILD_SPELLERS:src/%=build/%.o): build/build-id
build/build-id: FORCE
	@mkdir -p $(@D)
	@echo '$(KSEG_BUILD)' | cmp -s - $@ || echo '$(KSEG_BUILD)' >$@
FORCE:
kseg.so: src/kseg.map

# kseg.so with the named points at which a test kills it (src/stream/stream_fault.h), for test/run alone: it is never installed. Only what has
# such points is compiled anew; the rest, and so the build that the courier is asked for, is the same.
FAULT_OBJS = $(patsubst src/%.c,build/faults/%.o,$(shell grep -l 'stream/stream_fault\.h' src/*/*.c))
build/faults/kseg.so: $(FAULT_OBJS) $(filter-out $(FAULT_OBJS:build/faults/%=src/%),$(OBJS)) src/kseg.map
	$(CC) $(CFLAGS) -shared -o $@ $(filter %.o,$^) $(LDFLAGS) $(LDFLAGS_SL) $(SHLIB_LINK)
build/faults/%.o: src/%.c $(KSEG_HEADERS) pgxs.mk kseg.control
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -DKSEG_FAULTS -c -o $@ $<

# The courier.
COURIER_SOURCES = $(wildcard src/courier/*.c src/reader/*.c src/wire/*.c)
COURIER_OBJS = $(COURIER_SOURCES:src/%.c=build/%.o)
COURIER_PACKAGES = libcurl rdkafka json-c libdeflate
COURIER_CFLAGS = -std=gnu11 -O2 -g -Wall -Wextra $(COPT) -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE \
	-Isrc -DKSEG_BUILD='"$(KSEG_BUILD)"' $(shell pkg-config --cflags $(COURIER_PACKAGES))
COURIER_LDFLAGS = -pie -Wl,-z,relro,-z,now
COURIER_LIBS = $(shell pkg-config --libs $(COURIER_PACKAGES))

all: build/kseg-courier

build/%.o: src/%.c $(wildcard src/wire/*.h src/reader/*.h src/courier/*.h) pgxs.mk kseg.control
	@mkdir -p $(@D)
	$(CC) $(COURIER_CFLAGS) -c -o $@ $<

build/kseg-courier: $(COURIER_OBJS)
	$(CC) $(COURIER_LDFLAGS) -o $@ $^ $(COURIER_LIBS)

install: install-courier
install-courier: build/kseg-courier
	$(MKDIR_P) '$(DESTDIR)$(pkglibdir)'
	$(INSTALL_PROGRAM) build/kseg-courier '$(DESTDIR)$(pkglibdir)/kseg-courier'

uninstall: uninstall-courier
uninstall-courier:
	rm -f '$(DESTDIR)$(pkglibdir)/kseg-courier'

.PHONY: install-courier uninstall-courier FORCE
