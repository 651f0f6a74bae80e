# SPDX-License-Identifier: Apache-2.0
# Running the tests. tests/run.py runs the tiers, counts cases, and prints one closing line.

RUN_TESTS = $(PYTHON) tests/run.py --build $(BUILD) --deps $(DEPS) $(if $(TESTS),--only '$(TESTS)')

# In `make test` the fuzzers see whether yesterday's inputs still pass; `make fuzz` looks for new ones.
TEST_FUZZ_SECONDS := 3

# What the booted tiers start: the image, the tools and the guests' parts.
BOOT_TEST_NEEDS := image tools $(GUEST_VMLINUZ) $(GUEST_BUSYBOX)

# Fetched with the sources (mk/deps.mk).
$(GUEST_VMLINUZ) $(GUEST_BUSYBOX): ;

test: test-build ## all tiers: unit, API, fuzzers briefly, micro-guests, booted nodes; ends with "N passed, N failed"
	$(Q)$(RUN_TESTS) --fuzz-seconds $(TEST_FUZZ_SECONDS) --fuzz-seed 1 unit sim fuzz guest boot

test-unit: $(UNIT_BINS) ## unit tests on the host, with sanitizers
	$(Q)$(RUN_TESTS) unit

test-sim: image tools $(BUILD)/keelson-sim $(BUILD)/store-replay $(GUEST_VMLINUZ) ## the API over a simulated hypervisor
	$(Q)$(RUN_TESTS) sim

test-guest: $(BOOT_TEST_NEEDS) $(GUEST_TEST_NEEDS) ## micro-guests on both back ends
	$(Q)$(RUN_TESTS) guest

test-boot: $(BOOT_TEST_NEEDS) $(GUEST_TEST_NEEDS) ## the real image in emulators, driven through its API and console
	$(Q)$(RUN_TESTS) boot

.PHONY: test-build
test-build: $(UNIT_BINS) $(FUZZ_BINS) $(BOOT_TEST_NEEDS) $(GUEST_TEST_NEEDS)

# More lives of the store than the standard tier has time for: simulated ones, and power cuts of a longer recording of a node.
SOAK_SEEDS ?= 5000
SOAK_CUT_SEEDS ?= 25
SOAK_ROUNDS := 3
SOAK_SIMULATED := $(BUILD)/host/unit/test_store_power $(BUILD)/host/unit/test_guest_disk
.PHONY: soak
soak: $(SOAK_SIMULATED) $(BOOT_TEST_NEEDS) $(GUEST_TEST_NEEDS) ## power cuts over SOAK_SEEDS simulated lives, and of a booted node with SOAK_CUT_SEEDS seeds
	$(Q)for test in $(SOAK_SIMULATED); do KEELSON_SEEDS=$(SOAK_SEEDS) $$test || exit 1; done
	$(Q)KEELSON_SEEDS=$(SOAK_CUT_SEEDS) KEELSON_ROUNDS=$(SOAK_ROUNDS) $(PYTHON) tests/run.py --build $(BUILD) --deps $(DEPS) \
		--only power_cut boot

bench: $(BOOT_TEST_NEEDS) $(GUEST_TEST_NEEDS) ## measure; prints figures and writes build/bench.json
	$(Q)$(PYTHON) tests/bench/run.py --build $(BUILD) --deps $(DEPS) --output $(BUILD)/bench.json
