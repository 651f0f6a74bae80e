# SPDX-License-Identifier: Apache-2.0
# Headers generated from schema/ (and the guests' ACPI source): each tools/gen_X.py is run as `gen_X.py OUTDIR`.
#
# A generator writes into a scratch folder; only headers whose text changed are moved into place, so that
# editing a schema rebuilds no more than it has to.

GEN_DIR := $(BUILD)/gen
GENERATORS := $(sort $(wildcard tools/gen_*.py))
GEN_STAMPS := $(patsubst tools/gen_%.py,$(BUILD)/stamps/gen_%,$(GENERATORS))

$(BUILD)/stamps/gen_%: tools/gen_%.py $(wildcard schema/*.json schema/*.txt) $(call sources,mgmt,*.asl) mk/gen.mk
	$(call say,GEN,$<)
	@mkdir -p $(@D) $(GEN_DIR) && rm -rf $@.tmp && mkdir $@.tmp
	$(Q)$(PYTHON) $< $@.tmp
	@cd $@.tmp && for f in *; do \
		cmp -s "$$f" "$(abspath $(GEN_DIR))/$$f" || mv "$$f" "$(abspath $(GEN_DIR))/$$f"; done
	@rm -rf $@.tmp && touch $@

# Makes a header that an object's dependency file names wait for its generator.
$(GEN_DIR)/%.h: $(GEN_STAMPS) ;

.PHONY: gen
gen: $(GEN_STAMPS)
