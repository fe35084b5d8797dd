# skep's commands. `make` alone lists them.

.DEFAULT_GOAL := help
SKEP := target/release/skep
# Where scripts/build-guests builds too; here for this machine, to test the SDK.
GUESTS_TARGET := target/guests-build

.PHONY: help
help: ## List the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

.PHONY: demo
demo: build ## Build everything, serve, run a real job; ends with Ctrl-C
	@scripts/demo

.PHONY: test
test: build redis browser onnxruntime models ## Run every test, and check the dependencies (installs redis-server and a browser where they are missing)
	ORT_DISABLE_TELEMETRY=1 ORT_DYLIB_PATH=$$(scripts/onnxruntime) cargo test --release --workspace --no-fail-fast
	CARGO_TARGET_DIR=$(GUESTS_TARGET) cargo test --quiet --manifest-path examples/Cargo.toml --workspace
	@export ORT_DYLIB_PATH=$$(scripts/onnxruntime); for example in examples/*/test.sh; do \
		echo "testing $$example"; SKEP=$(CURDIR)/$(SKEP) "$$example" || exit 1; \
	done
	scripts/docs --test
	scripts/docs
	scripts/schemathesis
	scripts/fuzz 10
	scripts/deny

.PHONY: fuzz
fuzz: build ## Fuzz each target for twenty minutes (FUZZ_S=1200), from the cases in fuzz/corpus
	scripts/fuzz $${FUZZ_S:-1200}

.PHONY: soak
soak: build redis ## Break hosts, Redis and the network for ten minutes (SKEP_SOAK_S=600); nothing may be lost
	SKEP_SOAK_S=$${SKEP_SOAK_S:-600} cargo test --release -p skep --test chaos -- --nocapture

.PHONY: redis
redis: ## Make sure that there is a redis-server for the tests
	@scripts/redis-server

.PHONY: browser
browser: ## Make sure that there is a browser for the tests
	@scripts/browser

.PHONY: onnxruntime
onnxruntime: ## Make sure that there is ONNX Runtime's library for the tests, and print where
	@scripts/onnxruntime

.PHONY: models
models: ## Make sure that the examples' models are there, and print where
	@scripts/models

.PHONY: lint
lint: ## Check the formatting, and clippy without warnings
	cargo fmt --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	cargo fmt --check --manifest-path examples/Cargo.toml --all
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	scripts/links
	CARGO_TARGET_DIR=$(GUESTS_TARGET) cargo clippy --manifest-path examples/Cargo.toml --workspace --all-targets -- -D warnings

# A peer that could not be installed has its reason in the table, which comes all the same.
.PHONY: bench
bench: build redis ## Measure, and print tables: skep by itself, posts over HTTP, and skep beside Celery, RQ, BullMQ, MLQ and Triton
	$(SKEP) bench target/guests/multiply.wasm --stages target/guests/stages.wasm \
		--inferring target/guests/infer.wasm
	bench/http/install && bench/http/run
	bench/peers/install; bench/peers/run
	bench/inference/install; bench/inference/run

.PHONY: bench-gpu
bench-gpu: build ## Measure inference on this machine's GPU, and check it against the CPU; ends with 2 where there is none
	bench/gpu/run

.PHONY: build
build: guests ## Build the host (and the guests)
	@echo "Building the host (the first time: about 9 minutes on two cores, mostly wasmtime)"
	cargo build --release --workspace

.PHONY: quick
quick: guests ## Build the host to try a small change: in half a minute, and a fifth slower than it will be
	CARGO_INCREMENTAL=1 RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/scripts/rustc-quick cargo build --release --workspace

.PHONY: guests
guests: ## Build the example handlers and the test guests
	@scripts/build-guests
