# What people type. Cargo builds everything in Rust; this file picks the Lua and the API level,
# collects what cargo built into a tree of the usual shape, and leaves a copy of it where existing
# projects look: skynet, libskynet.so, cservice/*.so, luaclib/*.so, skynet-src and 3rd/lua.
#
#   make [linux] [LUA=5.4|5.5] [API=1.8|head]
#   make test | test-wrap | storm | sockets-long | memory-long | lua-asan | lua-tsan | loom | loom-seeded | shuttle | miri | tsan | asan | check
#   make demo | headers | fuzz [SECONDS=60]
#   make clean | cleanall
#   make bench [BENCH=WORKLOADS] [RUNS=] [THREADS=] [SCALE=] [SUBJECTS=] [SKYNET_UPSTREAM=]
#   make install | uninstall [PREFIX=/usr/local] [DESTDIR=]
#
# Each Lua version has its own folder, target/lua54 or target/lua55, with cargo's files and a
# complete node in node/; the files at the top are copies of the last make.

include platform.mk

LUA ?= 5.4
API ?=

# Where the copies go; projects pass these.
SKYNET_BUILD_PATH ?= .
CSERVICE_PATH ?= cservice
LUA_CLIB_PATH ?= luaclib

# Crates that become modules: cservice/NAME is package cservice-NAME, luaclib/NAME luaclib-NAME.
CSERVICE := gate harbor logger snlua
LUA_CLIB := client md5 skynet

# What `make demo` and `make headers` run.
DEMO_CMD ?= ./examples/demo/run.sh
HEADERS_CMD ?= $(CARGO) run -q --release -p headers

# Accepted because existing projects pass them; we have no use for them, since Lua, the allocator
# and the TLS module come with the build.
LUA_INC ?=
LUA_LIB ?=
TLS_MODULE ?=
TLS_LIB ?=
TLS_INC ?=
MALLOC_STATICLIB ?=
SKYNET_DEFINES ?=

# ---- the build chosen ----

ifeq ($(filter $(LUA),5.4 5.5),)
$(error LUA=$(LUA) is not supported, choose LUA=5.4 or LUA=5.5)
endif
ifeq ($(filter x$(API),x x1.8 xhead),)
$(error API=$(API) is not supported, choose API=1.8 or API=head)
endif

empty :=
space := $(empty) $(empty)
comma := ,

LUA_NAME := lua$(subst .,,$(LUA))
FEATURE_LIST := $(LUA_NAME) $(if $(API),api$(subst .,,$(API)))
# The way to say "libc's allocator, please" that projects already use.
ifeq ($(filter -DNOUSE_JEMALLOC,$(SKYNET_DEFINES)),)
FEATURE_LIST += jemalloc
endif
FEATURES := --no-default-features --features $(subst $(space),$(comma),$(strip $(FEATURE_LIST)))

# What skynet_api.h asks for: 1 at level head, 0 at level 1.8.
API_HEAD := $(if $(filter head,$(or $(API),$(if $(filter 5.5,$(LUA)),head))),1,0)

TARGET_DIR ?= $(CURDIR)/target/$(LUA_NAME)
RELEASE := $(TARGET_DIR)/release
NODE := $(TARGET_DIR)/node
CARGO ?= cargo
STRIP ?= strip
# Cargo finds out by itself how many jobs to run; make's job server is not open to it.
RUN_CARGO := env -u MAKEFLAGS -u MFLAGS $(CARGO)

export CARGO_TARGET_DIR := $(TARGET_DIR)
ifneq ($(strip $(MYCFLAGS)),)
cargo test storm check: export CFLAGS := $(strip $(CFLAGS) $(MYCFLAGS))
cargo test storm check: export CC_SHELL_ESCAPED_FLAGS := 1
endif

# A shell function: `put FROM TO` copies a file unless TO has the same content, so that nothing
# downstream starts over, and by renaming, so that a node that runs from TO is not disturbed.
put := put() { cmp -s "$$1" "$$2" || \
	{ mkdir -p "$$(dirname "$$2")" && cp "$$1" "$$2.new" && mv -f "$$2.new" "$$2"; }; }; put

# What programs remember that are linked with libskynet.so: one name for each set of interfaces, which
# the Lua version and the API level make. The number grows when something in a set goes or changes.
SO_NUMBER := 0
API_NAME := $(if $(filter 1,$(API_HEAD)),head,1.8)
SONAME := libskynet-lua$(LUA)$(if $(filter $(LUA)-$(API_NAME),5.4-1.8 5.5-head),,-$(API_NAME)).so.$(SO_NUMBER)

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

HEADERS := $(filter-out include/skynet_level.h,$(wildcard include/*.h))

# ---- all ----

PROGRAMS := skynet libskynet.so
STATIC := libskynet.a
MODULES := $(CSERVICE:%=cservice/%.so) $(LUA_CLIB:%=luaclib/%.so)
LUA_TREE := $(NODE)/3rd/lua
STAGED := $(addprefix $(NODE)/,$(PROGRAMS) $(STATIC) $(MODULES)) $(addprefix $(LUA_TREE)/,liblua.a lua luac)

COPIES := $(PROGRAMS:%=$(SKYNET_BUILD_PATH)/%) \
	$(CSERVICE:%=$(CSERVICE_PATH)/%.so) $(LUA_CLIB:%=$(LUA_CLIB_PATH)/%.so)

.PHONY: cargo stage copies

all: copies
	@echo "skynet with Lua $(LUA): $(NODE)"

# One run of cargo for everything, so that all share one set of features. Its messages say where
# the build script of the core left Lua.
cargo:
	@mkdir -p $(TARGET_DIR)
	$(RUN_CARGO) build --release --workspace --exclude headers --exclude bench --exclude properties $(FEATURES) \
		--message-format=json-render-diagnostics > $(TARGET_DIR)/build.json
	$(RUN_CARGO) rustc --release --lib --crate-type cdylib,staticlib $(FEATURES) -- \
		-C link-arg=-Wl,-soname,$(SONAME)

# The node of this version: also what the tests run. The folders of Lua code are links, and so are
# the headers, beside the one file that says which API level they are for.
stage: $(STAGED)
	@ln -sfn libskynet.so $(NODE)/$(SONAME)
	@for name in lualib service examples test; do \
		if [ -d $$name ]; then ln -sfn $(CURDIR)/$$name $(NODE)/$$name; fi; \
	done
	@set -e; for header in $(HEADERS); do \
		$(put) "$$header" "$(NODE)/skynet-src/$${header##*/}"; \
	done
	@printf '#ifndef SKYNET_API_HEAD\n#define SKYNET_API_HEAD %s\n#endif\n' $(API_HEAD) > $(TARGET_DIR)/skynet_level.h
	@$(put) $(TARGET_DIR)/skynet_level.h $(NODE)/skynet-src/skynet_level.h

$(addprefix $(NODE)/,$(PROGRAMS)): $(NODE)/%: cargo
	@$(put) "$(RELEASE)/$*" "$@"

# Without debug information, which is three quarters of it and of no use to whoever links it.
$(addprefix $(NODE)/,$(STATIC)): $(NODE)/%: cargo
	@[ "$@" -nt "$(RELEASE)/$*" ] || \
		{ mkdir -p $(NODE) && $(STRIP) -S -o "$@.new" "$(RELEASE)/$*" && mv -f "$@.new" "$@"; }

$(CSERVICE:%=$(NODE)/cservice/%.so): $(NODE)/cservice/%.so: cargo
	@$(put) "$(RELEASE)/libcservice_$*.so" "$@"

$(LUA_CLIB:%=$(NODE)/luaclib/%.so): $(NODE)/luaclib/%.so: cargo
	@$(put) "$(RELEASE)/libluaclib_$*.so" "$@"

# Lua for people who compile C modules: headers, library, and the programs of the same VM.
$(LUA_TREE)/liblua.a: cargo
	@set -e; out=$$(sed -n 's/.*"build-script-executed".*skynetlua.*"out_dir":"\([^"]*\)".*/\1/p' $(TARGET_DIR)/build.json); \
	for header in "$$out"/lua/*.h src/lua/lua.hpp; do \
		to=$(LUA_TREE)/$${header##*/}; \
		$(put) "$$header" "$$to"; \
	done; \
	$(put) "$$out/libskynetlua.a" "$@"

$(LUA_TREE)/lua $(LUA_TREE)/luac: $(LUA_TREE)/%: src/lua/%.c $(LUA_TREE)/liblua.a
	$(CC) -std=gnu99 -O2 -Wall -Wextra $(MYCFLAGS) -I$(LUA_TREE) -o $@ $< \
		-Wl,--whole-archive $(LUA_TREE)/liblua.a -Wl,--no-whole-archive $(EXPORT) $(SKYNET_LIBS)

copies: $(COPIES) stage
	@set -e; for file in $(LUA_TREE)/*; do \
		to=3rd/lua/$${file##*/}; \
		$(put) "$$file" "$$to"; \
	done
	@$(put) $(NODE)/skynet-src/skynet_level.h include/skynet_level.h
	@[ -e skynet-src ] || ln -s include skynet-src
	@ln -sfn libskynet.so $(SKYNET_BUILD_PATH)/$(SONAME)

# The other version may have been here since, so dates say nothing: always compare.
$(PROGRAMS:%=$(SKYNET_BUILD_PATH)/%): stage
	@$(put) "$(NODE)/$(@F)" "$@"

$(CSERVICE:%=$(CSERVICE_PATH)/%.so): stage
	@$(put) "$(NODE)/cservice/$(@F)" "$@"

$(LUA_CLIB:%=$(LUA_CLIB_PATH)/%.so): stage
	@$(put) "$(NODE)/luaclib/$(@F)" "$@"

# ---- tests and the rest ----

.PHONY: test test-wrap storm sockets-long memory-long loom loom-seeded shuttle miri tsan asan test-asan lua-asan lua-tsan fuzz check demo bench \
	headers clean cleanall jemalloc update3rd

STORM_SECONDS ?= 60
STORM_CYCLES ?= 1000

# Every test, against the staged node.
test: stage
	SKYNET_NODE=$(NODE) $(RUN_CARGO) test --release --workspace --exclude headers --no-fail-fast $(FEATURES)

# The same with counters that begin just below their limits.
test-wrap: export SKYNET_TEST_WRAP := 1
test-wrap: test

# The C programs of test/api with AddressSanitizer, on a node that leaves malloc to it: who owns what,
# and what is never freed. A build of its own.
asan:
	@$(MAKE) --no-print-directory TARGET_DIR=$(CURDIR)/target/$(LUA_NAME)-asan \
		SKYNET_DEFINES=-DNOUSE_JEMALLOC test-asan

test-asan: stage
	SKYNET_ASAN=1 SKYNET_NODE=$(NODE) $(RUN_CARGO) test --release -p skynet --test api $(FEATURES) -- ours:: asan::

# Threads that share Lua functions, strings and tables, with the C of Lua and of the test instrumented. So many
# rounds take a minute and a half or two on two processors.
lua-asan: LUA_ROUNDS ?= 3000
lua-tsan: LUA_ROUNDS ?= 800
lua-asan lua-tsan: lua-%: stage
	SKYNET_LUA_SANITIZE=$(if $(filter asan,$*),address,thread) SKYNET_LUA_ROUNDS=$(LUA_ROUNDS) SKYNET_NODE=$(NODE) \
		$(RUN_CARGO) test --release -p skynet --test lua_share $(FEATURES) -- storm

# The models of the core's protocols: every interleaving of their threads, up to so many preemptions.
PREEMPTIONS ?= 2
LOOM := $(RUN_CARGO) test -q --release -p skynet --lib --no-default-features --features $(LUA_NAME)
loom:
	CARGO_TARGET_DIR=target/loom RUSTFLAGS='--cfg modelled --cfg loom' LOOM_MAX_PREEMPTIONS=$(PREEMPTIONS) \
		$(LOOM) models::

# Larger ones: schedules drawn at random, which are many threads and many operations long.
SCHEDULES ?= 10000
shuttle:
	CARGO_TARGET_DIR=target/shuttle RUSTFLAGS='--cfg modelled --cfg shuttle' SCHEDULES=$(SCHEDULES) \
		$(LOOM) schedules::

# Each bug that can be put into the code must be found.
SEEDED := mailbox retire steal park timer
loom-seeded: $(SEEDED:%=loom-seeded-%)
	@echo "every seeded bug was found"

$(SEEDED:%=loom-seeded-%): loom-seeded-%:
	@export CARGO_TARGET_DIR=target/loom-seeded RUSTFLAGS='--cfg modelled --cfg loom --cfg seeded="$*"'; \
	$(LOOM) --no-run && \
	if LOOM_MAX_PREEMPTIONS=$(PREEMPTIONS) RUST_BACKTRACE=0 timeout 300 $(LOOM) models:: > $(CURDIR)/target/loom-$*.log 2>&1; \
	then echo "the bug '$*' was not found"; exit 1; \
	else echo "the bug '$*' was found"; fi

# The unit tests of the core under Miri and under ThreadSanitizer, where the nightly toolchain has what they need.
NIGHTLY := $(RUN_CARGO) +nightly
CORE_TESTS := core::mailbox core::readers core::handle core::scheduler core::pending
miri:
	@if $(NIGHTLY) miri --version >/dev/null 2>&1; then \
		CARGO_TARGET_DIR=target/miri MIRIFLAGS=-Zmiri-disable-isolation $(NIGHTLY) miri test -p skynet --lib \
			--no-default-features --features $(LUA_NAME) -- $(CORE_TESTS); \
	else echo "skipped: the nightly toolchain has no miri"; fi

tsan:
	@if [ -d "$$(rustc +nightly --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library" ]; then \
		CARGO_TARGET_DIR=target/tsan RUSTFLAGS=-Zsanitizer=thread $(NIGHTLY) test -Zbuild-std \
			--target x86_64-unknown-linux-gnu --release -p skynet --lib \
			--no-default-features --features $(LUA_NAME) -- $(CORE_TESTS); \
	else echo "skipped: the nightly toolchain has no rust-src"; fi

# Each target of fuzz/ for a while, with AddressSanitizer and counters that tell the fuzzer what an input reached.
# What it finds interesting is kept in target/fuzz, and what fails too.
SECONDS ?= 60
FUZZ_TARGETS := $(patsubst fuzz/fuzz_targets/%.rs,%,$(wildcard fuzz/fuzz_targets/*.rs))
FUZZ_HOST := x86_64-unknown-linux-gnu
FUZZ_DIR := $(CURDIR)/target/fuzz
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions -Zsanitizer=address
fuzz:
	@if $(NIGHTLY) --version >/dev/null 2>&1; then \
		set -e; \
		CARGO_TARGET_DIR=$(FUZZ_DIR) RUSTFLAGS='$(FUZZ_FLAGS)' $(NIGHTLY) build -q --release \
			--manifest-path fuzz/Cargo.toml --target $(FUZZ_HOST); \
		for name in $(FUZZ_TARGETS); do \
			mkdir -p $(FUZZ_DIR)/corpus/$$name $(FUZZ_DIR)/artifacts/$$name; \
			echo "== $$name, $(SECONDS) s"; \
			$(FUZZ_DIR)/$(FUZZ_HOST)/release/$$name $(FUZZ_DIR)/corpus/$$name -max_total_time=$(SECONDS) \
				-artifact_prefix=$(FUZZ_DIR)/artifacts/$$name/ -verbosity=0 -print_final_stats=1; \
		done; \
	else echo "skipped: there is no nightly toolchain"; fi

# The long form of test/storm.rs.
storm: stage
	SKYNET_NODE=$(NODE) SKYNET_STORM_SECONDS=$(STORM_SECONDS) SKYNET_STORM_CYCLES=$(STORM_CYCLES) \
		$(RUN_CARGO) test --release -p skynet --test storm $(FEATURES) -- --nocapture

# The long forms of test/sockets.rs.
sockets-long: stage
	SKYNET_NODE=$(NODE) SKYNET_SOCKETS_LONG=1 \
		$(RUN_CARGO) test --release -p skynet --test sockets $(FEATURES) -- --nocapture

# The long form of test/memory.rs; it takes 3 GB of memory and some minutes.
memory-long: stage
	SKYNET_NODE=$(NODE) SKYNET_MEMORY_LONG=1 \
		$(RUN_CARGO) test --release -p skynet --test memory $(FEATURES) -- --nocapture memory_goes_back

check: stage
	$(RUN_CARGO) fmt --all --check
	$(RUN_CARGO) clippy --release --workspace --all-targets $(FEATURES) -- -D warnings
	$(RUN_CARGO) test -q --release -p headers
	$(HEADERS_CMD) -- --verify
	test/check_layers.sh
	test/check_symbols.sh test/symbols-$(LUA_NAME).txt $(MODULES:%=$(NODE)/%)

demo: all
	$(DEMO_CMD)

# bench/README.md says what the variables mean.
BENCH ?=
RUNS ?= 5
THREADS ?= 2
SCALE ?= 1
SUBJECTS ?=
BENCH_OUT ?= $(TARGET_DIR)/bench

bench: stage
	$(RUN_CARGO) build -q --release -p bench
	$(RELEASE)/bench --node $(NODE) --out $(BENCH_OUT) --runs $(RUNS) --threads $(THREADS) --scale $(SCALE) \
		$(if $(SUBJECTS),--only $(SUBJECTS)) $(BENCH)

headers:
	$(HEADERS_CMD)

# ---- installing ----

.PHONY: install install-staged uninstall

PREFIX ?= /usr/local
DESTDIR ?=

install: stage
	@$(MAKE) --no-print-directory install-staged

# Builds nothing, so that what one user built another may install.
install-staged:
	@NODE='$(NODE)' PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' VERSION='$(VERSION)' SONAME='$(SONAME)' \
		LUA='$(LUA)' API='$(API_NAME)' tools/install.sh install

uninstall:
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' tools/install.sh uninstall

clean:
	rm -f $(COPIES) $(SKYNET_BUILD_PATH)/libskynet-lua*.so.*

cleanall: clean
	rm -rf target 3rd/lua skynet-src include/skynet_level.h
	@rmdir 3rd 2>/dev/null || true

# Nothing to fetch: what upstream keeps as submodules comes through cargo.
jemalloc update3rd:
	@:
