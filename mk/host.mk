# SPDX-License-Identifier: Apache-2.0
# Programs for the workstation: client tools, unit tests and fuzz targets.

HOST_CFLAGS := -std=gnu11 $(WARNINGS) -O2 -g $(PREFIX_MAP) $(INCLUDES) -D_GNU_SOURCE -DKEELSON_HOST

# ---- client tools: tools/NAME/*.c with a main() makes build/NAME -----------------------------------------

TOOL_NAMES := $(sort $(patsubst tools/%/main.c,%,$(wildcard tools/*/main.c)))
TOOL_LIBS := -lcurl -lwslay -lcjson -lssl -lcrypto -lpthread -lm

$(BUILD)/host/tool/%.o: %.c $(MAKEFILES_ALL) | $(GEN_STAMPS)
	$(call say,HOSTCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HOST_CFLAGS) $(DEPFLAGS) -c -o $@ $<

define tool
$(1)_OBJS := $(call objects,$(BUILD)/host/tool,$(call sources,tools/$(1),*.c))
$(call list_stamp,$(1),$(call objects,$(BUILD)/host/tool,$(call sources,tools/$(1),*.c)))
$(BUILD)/$(1): $$($(1)_OBJS) $(BUILD)/stamps/$(1).list
	$$(call say,HOSTLD,$$@)
	$$(Q)$$(CC) -o $$@ $$($(1)_OBJS) -Wl,--as-needed $$(TOOL_LIBS)
-include $$($(1)_OBJS:.o=.d)
endef
$(foreach t,$(TOOL_NAMES),$(eval $(call tool,$(t))))

.PHONY: tools
tools: $(TOOL_NAMES:%=$(BUILD)/%) ## the client tools alone

# ---- unit tests ------------------------------------------------------------------------------------------
#
# tests/unit/test_NAME.c says in its first lines what it links:
#   // srcs: arch/x86/decode.c tests/unit/fake_virt.c
#   // libs: cjson mbedtls lwip llhttp zydis
# Everything is compiled with sanitizers, apart from third-party libraries.

SAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
UNIT_CFLAGS := -std=gnu11 $(WARNINGS) -O1 -g $(SAN) $(PREFIX_MAP) $(INCLUDES) $(DEP_INCLUDES) -D_GNU_SOURCE \
	-DKEELSON_HOST
UNIT_TESTS := $(sort $(wildcard tests/unit/test_$(if $(TESTS),*$(TESTS))*.c))
UNIT_BINS := $(UNIT_TESTS:tests/unit/%.c=$(BUILD)/host/unit/%)

# $(call header_line,FILE,KEY): the words after "// KEY:" in the first five lines.
header_line = $(shell sed -n '1,5s|^// $(2):||p' $(1))

$(BUILD)/host/unit/obj/%.o: %.c $(MAKEFILES_ALL) | $(GEN_STAMPS)
	$(call say,HOSTCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/host/unit/obj/%.o: %.S $(MAKEFILES_ALL) | $(GEN_STAMPS)
	$(call say,HOSTAS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(UNIT_CFLAGS) -D__ASSEMBLER__ $(DEPFLAGS) -c -o $@ $<

define unit_test
$(2)_OBJS := $(call objects,$(BUILD)/host/unit/obj,$(1) $(call header_line,$(1),srcs))
$(2): $$($(2)_OBJS) $(patsubst %,$(DEPS)/host/lib%.a,$(call header_line,$(1),libs))
	$$(call say,HOSTLD,$$@)
	$$(Q)$$(CC) $$(SAN) -o $$@ $$^ -lcmocka -lpthread -lm
UNIT_OBJS += $$($(2)_OBJS)
endef
$(foreach t,$(UNIT_TESTS),$(eval $(call unit_test,$(t),$(t:tests/unit/%.c=$(BUILD)/host/unit/%))))
-include $(sort $(UNIT_OBJS:.o=.d))

# ---- fuzz targets ----------------------------------------------------------------------------------------
#
# tests/fuzz/fuzz_NAME.c, with the same first lines. tests/fuzz/corpus/NAME/ holds its seeds, if any.

FUZZ_SECONDS ?= 20
FUZZ_TESTS := $(sort $(wildcard tests/fuzz/fuzz_$(if $(TESTS),*$(TESTS))*.c))
FUZZ_NAMES := $(FUZZ_TESTS:tests/fuzz/fuzz_%.c=%)
FUZZ_BINS := $(FUZZ_NAMES:%=$(BUILD)/host/fuzz/%)
FUZZ_CFLAGS := -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all $(PREFIX_MAP) $(INCLUDES) \
	$(DEP_INCLUDES) -D_GNU_SOURCE -DKEELSON_HOST

define fuzz_test
$(BUILD)/host/fuzz/$(2): $(1) $(call header_line,$(1),srcs) \
		$(patsubst %,$(DEPS)/host/lib%.a,$(call header_line,$(1),libs)) $(MAKEFILES_ALL) | $(GEN_STAMPS)
	$$(call say,FUZZCC,$$<)
	@mkdir -p $$(@D)
	$$(Q)$$(CLANG) $$(FUZZ_CFLAGS) -o $$@ $$(filter %.c %.S %.a,$$^)
endef
$(foreach t,$(FUZZ_TESTS),$(eval $(call fuzz_test,$(t),$(t:tests/fuzz/fuzz_%.c=%))))

# As many at once as there are processors. What they learn stays in $(BUILD)/fuzz.
fuzz: $(FUZZ_BINS) ## run each fuzz target for FUZZ_SECONDS
	$(Q)$(RUN_TESTS) --fuzz-seconds $(FUZZ_SECONDS) fuzz
