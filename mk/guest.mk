# SPDX-License-Identifier: Apache-2.0
# Micro-guests: the real hypervisor with a test root partition in the place of the management partition.
#
# tests/guest/kernel is the micro-guest (flat binary), tests/guest/root the root partition on mgmt/rt.

GUEST_DIR := $(BUILD)/guest
GUEST_KERNEL_OBJS := $(call objects,$(GUEST_DIR),$(call sources,tests/guest/kernel,*.c) $(call sources,tests/guest/kernel,*.S))
GUEST_KERNEL_LDS := tests/guest/kernel/kernel.ld
GUEST_ROOT_SRCS := $(call sources,tests/guest/root,*.c) $(call sources,tests/guest/root,*.S)
GUEST_ROOT_OBJS := $(call objects,$(GUEST_DIR),$(GUEST_ROOT_SRCS)) \
	$(filter $(BUILD)/mgmt/mgmt/rt/% $(BUILD)/mgmt/mgmt/hvif/%,$(MGMT_OBJS))
GUEST_CFLAGS := -std=gnu11 $(WARNINGS) $(FREESTANDING) -mcmodel=small -mgeneral-regs-only $(INCLUDES)

$(GUEST_DIR)/tests/guest/%.o: tests/guest/%.c $(MAKEFILES_ALL) | $(GEN_STAMPS) $(LIBC)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(GUEST_DIR)/tests/guest/%.o: tests/guest/%.S $(MAKEFILES_ALL)
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -I$(GUEST_DIR) -D__ASSEMBLER__ $(DEPFLAGS) -c -o $@ $<

$(GUEST_DIR)/tests/guest/root/kernel_blob.o: $(GUEST_DIR)/kernel.bin

$(GUEST_DIR)/kernel.elf: $(GUEST_KERNEL_OBJS) $(GUEST_KERNEL_LDS)
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -static --build-id=none -z noexecstack --no-warn-rwx-segments -T $(GUEST_KERNEL_LDS) \
		-o $@ $(GUEST_KERNEL_OBJS) $(LIBGCC)

$(GUEST_DIR)/kernel.bin: $(GUEST_DIR)/kernel.elf
	$(Q)$(OBJCOPY) -O binary $< $@

$(GUEST_DIR)/root.elf: $(GUEST_ROOT_OBJS) $(MGMT_LDS) $(DEP_LIBS_FREE) $(LIBC)
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -static --build-id=none --gc-sections -z max-page-size=4096 -z noexecstack \
		--no-warn-rwx-segments -Map=$(@:.elf=.map) -T $(MGMT_LDS) -o $@ $(GUEST_ROOT_OBJS) \
		--start-group $(DEP_LIBS_FREE) $(LIBC) $(DEPS)/lib/libm.a $(LIBGCC) --end-group

# The loader once more, with the test root as its second image.
$(GUEST_DIR)/payload/hv.elf: $(BUILD)/hv/hv.elf
$(GUEST_DIR)/payload/mgmt.elf: $(GUEST_DIR)/root.elf
$(GUEST_DIR)/payload/hv.elf $(GUEST_DIR)/payload/mgmt.elf:
	@mkdir -p $(@D)
	$(Q)$(OBJCOPY) --strip-all $< $@

$(GUEST_DIR)/payload.o: boot/payload.S $(GUEST_DIR)/payload/hv.elf $(GUEST_DIR)/payload/mgmt.elf
	$(Q)$(CC) $(filter-out -I$(PAYLOAD_DIR),$(BOOT_CFLAGS)) -I$(GUEST_DIR)/payload -D__ASSEMBLER__ -c -o $@ $<

GUEST_BOOT_OBJS := $(filter-out $(BUILD)/boot/boot/payload.o,$(BOOT_OBJS)) $(GUEST_DIR)/payload.o
$(GUEST_DIR)/loader.so: $(GUEST_BOOT_OBJS)
	$(call say,LD,$@)
	$(Q)$(LOADER_LD) -o $@ $(EFI_LIB)/crt0-efi-x86_64.o $(GUEST_BOOT_OBJS) -lefi -lgnuefi $(LIBGCC)

$(GUEST_DIR)/BOOTX64.EFI: $(GUEST_DIR)/loader.so
	$(call say,EFI,$@)
	$(Q)$(LOADER_EFI) $< $@

$(GUEST_DIR)/guest.img: $(GUEST_DIR)/BOOTX64.EFI tools/mkimage.py
	$(Q)$(PYTHON) tools/mkimage.py --efi $< --output $@ --state-mib 8

GUEST_TEST_NEEDS += $(GUEST_DIR)/guest.img

-include $(GUEST_KERNEL_OBJS:.o=.d) $(GUEST_ROOT_OBJS:.o=.d)
