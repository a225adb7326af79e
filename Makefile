# Every target is short enough to read. `make help` lists them.

CARGO ?= cargo
target = $(or $(CARGO_TARGET_DIR),target)

.DEFAULT_GOAL := help
.PHONY: help demo test test-long check bench bench-instructions peers peers-full soak conformance library header extension install uninstall natives packages prove fuzz clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Run the main job end to end: orders, e-mail jobs, a killed worker
	demo/run

test: ## Run all test suites, pairs of languages as a sample (installs what they need)
	scripts/test

test-long: ## Run everything: all pairs, long soaks and proofs; takes hours
	scripts/test --long

check: ## Check formatting and lints
	scripts/check

bench: extension library ## Measure, each figure beside its reference point (some of it: PARTS='claim packages')
	$(CARGO) run --release -p honker-bench -- $(PARTS)

bench-instructions: ## Count the instructions of the loops through libhonker, beside those of an earlier revision: BASE=<rev>
	$(if $(BASE),,$(error BASE is missing: make bench-instructions BASE=<rev>))
	bench/instructions/run $(BASE)

peers: library ## Do the same work with other job queues, and make the tables of docs/comparison.md (some of it: only=huey,go)
	bench/peers/run --minutes 90 $(if $(only),--only $(only)) $(flags)

peers-full: library ## The same with everything at full length; takes up to ten hours
	bench/peers/run --full $(if $(only),--only $(only)) $(flags)

soak: library ## Do everything at once for ten minutes, beside killed processes, and audit it
	$(CARGO) run --release -p honker-soak -- --seconds 600

conformance: ## Check every language package with one suite, each with each other (conformance/README.md)
	conformance/run

library: ## Build libhonker, shared (target/release/libhonker.so) and static (target/release/static/libhonker.a)
	scripts/setup build
	$(CARGO) build --release -p honker-ffi
	scripts/static-library $(target)/release/libhonker.a $(target)/release/static/libhonker.a

header: ## Make include/honker.h, abi.json and the packages' declarations anew from the sources of the C ABI
	HONKER_HEADER=write $(CARGO) test --quiet -p honker-ffi --test header
	HONKER_ABI=write $(CARGO) test --quiet -p honker-ffi --lib abi::
	python3 scripts/declarations

extension: ## Build the loadable extension (target/release/libhonker_ext.*)
	scripts/setup build
	$(CARGO) build --release -p honker-extension

install: ## Install the libraries, their headers and the extension below PREFIX=/usr/local
	scripts/install

uninstall: ## Remove from PREFIX what `make install` put there
	scripts/install uninstall

natives: ## Compile for every platform that is released, or for some: TARGETS='linux-x64-gnu macos-arm64', TWICE=1
	python3 release natives $(TARGETS)

packages: ## Pack what `make natives` compiled into dist/, for every language
	python3 release packages

prove: ## Install each package from dist/ without a network, run it, and write the table (some: PACKAGES='python go')
	python3 release prove $(PACKAGES)

fuzz: ## Fuzz the parsers for a minute each (needs nightly Rust and cargo-fuzz)
	cd fuzz && for target in schedule_expression ids_json; do \
	  mkdir -p corpus/$$target && cargo +nightly fuzz run $$target corpus/$$target seeds/$$target -- -max_total_time=60 || exit 1; done

clean: ## Remove what was built
	$(CARGO) clean
	rm -rf fuzz/target
