# SPDX-License-Identifier: Apache-2.0
# The management partition: mgmt/ and net/ on newlib, with the third-party libraries of mk/deps.mk.

MGMT_SRCS := $(filter-out %_host.c,$(call sources,mgmt net,*.c) $(call sources,mgmt net,*.S)) arch/x86/decode.c
MGMT_OBJS := $(call objects,$(BUILD)/mgmt,$(MGMT_SRCS))
MGMT_LDS := mgmt/rt/mgmt.ld
MGMT_CFLAGS := -std=gnu11 $(WARNINGS) $(FREESTANDING) -mcmodel=small -ffunction-sections -fdata-sections \
	$(FREESTANDING_LIBC) $(INCLUDES) $(DEP_INCLUDES) -DKEELSON_MGMT

# Interrupt handlers, and the data plane that they call into, run on top of whatever they interrupted, vector
# registers included: a guest's stay in the processor while the data plane serves it. The clocks and Zydis (mk/deps.mk)
# are the data plane's too; make lint-planes looks at the objects.
MGMT_NO_SSE := $(filter $(addprefix $(BUILD)/mgmt/mgmt/,block/% dataplane/% devices/% drivers/% hvif/% vswitch/%) $(BUILD)/mgmt/arch/% %_isr.o %/rt/time_scale.o,$(MGMT_OBJS))
$(MGMT_NO_SSE): MGMT_EXTRA := -mgeneral-regs-only

$(BUILD)/mgmt/%.o: %.c $(MAKEFILES_ALL) | $(GEN_STAMPS) $(LIBC)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(MGMT_CFLAGS) $(MGMT_EXTRA) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/mgmt/%.o: %.S $(MAKEFILES_ALL) | $(GEN_STAMPS) $(LIBC)
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(MGMT_CFLAGS) -D__ASSEMBLER__ $(DEPFLAGS) -c -o $@ $<

$(eval $(call list_stamp,mgmt,$(MGMT_OBJS)))
$(BUILD)/mgmt/mgmt.elf: $(BUILD)/stamps/mgmt.list $(MGMT_OBJS) $(MGMT_LDS) $(DEP_LIBS_FREE) $(LIBC)
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -static --build-id=none --gc-sections -z max-page-size=4096 -z noexecstack \
		--no-warn-rwx-segments -Map=$(@:.elf=.map) -T $(MGMT_LDS) -o $@ $(MGMT_OBJS) \
		--start-group $(DEP_LIBS_FREE) $(LIBC) $(DEPS)/lib/libm.a $(LIBGCC) --end-group

-include $(MGMT_OBJS:.o=.d)

.PHONY: mgmt
mgmt: $(BUILD)/mgmt/mgmt.elf ## the management partition's image alone
