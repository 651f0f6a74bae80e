# SPDX-License-Identifier: Apache-2.0
# Running the tests. tests/run.py runs the tiers, counts cases, and prints one closing line.

RUN_TESTS = $(PYTHON) tests/run.py --build $(BUILD) --deps $(DEPS) $(if $(TESTS),--only '$(TESTS)')

# What the booted tiers start: the image, the tools and the guests' parts.
BOOT_TEST_NEEDS := image tools $(GUEST_VMLINUZ) $(GUEST_BUSYBOX)

# Fetched with the sources (mk/deps.mk).
$(GUEST_VMLINUZ) $(GUEST_BUSYBOX): ;

test: test-build ## all tiers: unit tests, micro-guests, booted nodes; ends with "N passed, N failed"
	$(Q)$(RUN_TESTS) unit guest boot

test-unit: $(UNIT_BINS) ## unit tests on the host, with sanitizers
	$(Q)$(RUN_TESTS) unit

test-guest: $(BOOT_TEST_NEEDS) $(GUEST_TEST_NEEDS) ## micro-guests on both back ends
	$(Q)$(RUN_TESTS) guest

test-boot: $(BOOT_TEST_NEEDS) $(GUEST_TEST_NEEDS) ## the real image in emulators, driven through its API and console
	$(Q)$(RUN_TESTS) boot

.PHONY: test-build
test-build: $(UNIT_BINS) $(BOOT_TEST_NEEDS) $(GUEST_TEST_NEEDS)

bench: $(BOOT_TEST_NEEDS) $(GUEST_TEST_NEEDS) ## measure; prints figures and writes build/bench.json
	$(Q)$(PYTHON) tests/bench/run.py --build $(BUILD) --deps $(DEPS) --output $(BUILD)/bench.json
