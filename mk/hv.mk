# SPDX-License-Identifier: Apache-2.0
# The hypervisor: hv/ and arch/x86/, linked high. It saves no guest vector registers on an exit, so no code
# of its own may touch them.

HV_SRCS := $(filter-out %_host.c,$(call sources,hv arch,*.c) $(call sources,hv arch,*.S))
HV_OBJS := $(call objects,$(BUILD)/hv,$(HV_SRCS))
HV_LDS := arch/x86/hv.ld
HV_CFLAGS := -std=gnu11 $(WARNINGS) $(FREESTANDING) -mcmodel=kernel -mgeneral-regs-only -mpreferred-stack-boundary=3 $(INCLUDES) -DKEELSON_HV

$(BUILD)/hv/%.o: %.c $(MAKEFILES_ALL) | $(GEN_STAMPS)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HV_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/hv/%.o: %.S $(MAKEFILES_ALL) | $(GEN_STAMPS)
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(HV_CFLAGS) -D__ASSEMBLER__ $(DEPFLAGS) -c -o $@ $<

$(eval $(call list_stamp,hv,$(HV_OBJS)))
$(BUILD)/hv/hv.elf: $(BUILD)/stamps/hv.list $(HV_OBJS) $(HV_LDS)
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -static --build-id=none -z max-page-size=4096 -z noexecstack \
		--no-warn-rwx-segments --fatal-warnings -Map=$(@:.elf=.map) -T $(HV_LDS) -o $@ $(HV_OBJS) $(LIBGCC)

-include $(HV_OBJS:.o=.d)

.PHONY: hv
hv: $(BUILD)/hv/hv.elf ## the hypervisor alone
