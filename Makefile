# SPDX-License-Identifier: Apache-2.0
# Keelson's build: one non-recursive make. `make help` lists the targets; mk/ holds one file a subject.
#
# Sources are found with wildcards, so that a new file needs no edit here. All output goes to $(BUILD).

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-builtin-variables

# These goals need neither host packages nor third-party sources, and must not fetch them.
NO_DEPS_GOALS := clean distclean help setup
WITH_DEPS := $(if $(MAKECMDGOALS),$(filter-out $(NO_DEPS_GOALS),$(MAKECMDGOALS)),all)

include mk/config.mk
include mk/deps.mk
include mk/gen.mk
include mk/hv.mk
include mk/mgmt.mk
include mk/boot.mk
include mk/host.mk
# Further subjects; what they need built for the tests they add to GUEST_TEST_NEEDS.
include $(filter-out $(MAKEFILE_LIST) mk/test.mk mk/lint.mk,$(wildcard mk/*.mk))
include mk/test.mk
include mk/lint.mk

# ---- what people type --------------------------------------------------------------------------------

.PHONY: all image test test-unit test-sim test-guest test-boot bench lint format fuzz clean distclean help setup

all: image tools ## the disk image and the client tools (default)

image: $(BUILD)/keelson.img ## build/keelson.img: GPT disk with the EFI application

setup: ## install (as root) or name the Debian packages that are missing
	@tools/deps/setup.sh

clean: ## remove what was built; keeps build/deps
	$(call say,CLEAN,$(BUILD))
	$(Q)find $(BUILD) -mindepth 1 -maxdepth 1 ! -path '$(DEPS)' -exec rm -rf {} + 2>/dev/null || true

distclean: ## remove everything, also downloads and third-party libraries
	$(call say,CLEAN,$(BUILD) $(DEPS))
	$(Q)rm -rf $(BUILD) $(DEPS)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(wildcard Makefile mk/*.mk) | column -t -s '|'
	@echo
	@echo '  V=1 shows commands; BUILD=DIR builds elsewhere; FUZZ_SECONDS=N sets the length of each fuzz run;'
	@echo '  TESTS=WORD runs only the tests whose name contains it.'
