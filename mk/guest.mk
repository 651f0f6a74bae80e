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

# The root uses the C library, in the place of the data plane: no vector registers.
$(GUEST_DIR)/tests/guest/root/%.o: tests/guest/root/%.c $(MAKEFILES_ALL) | $(GEN_STAMPS) $(LIBC)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(MGMT_CFLAGS) -mgeneral-regs-only $(DEPFLAGS) -c -o $@ $<

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

# $(call other_image,DIR,ELF,IMAGE): the loader once more, with ELF in the place of the management partition.
define other_image
$(1)/payload/hv.elf: $(BUILD)/hv/hv.elf
$(1)/payload/mgmt.elf: $(2)
$(1)/payload/hv.elf $(1)/payload/mgmt.elf:
	@mkdir -p $$(@D)
	$(Q)$(OBJCOPY) --strip-all $$< $$@

$(1)/payload.o: boot/payload.S $(1)/payload/hv.elf $(1)/payload/mgmt.elf
	$(Q)$(CC) $(filter-out -I$(PAYLOAD_DIR),$(BOOT_CFLAGS)) -I$(1)/payload -D__ASSEMBLER__ -c -o $$@ $$<

$(1)/loader.so: $(filter-out $(BUILD)/boot/boot/payload.o,$(BOOT_OBJS)) $(1)/payload.o
	$$(call say,LD,$$@)
	$(Q)$(LOADER_LD) -o $$@ $(EFI_LIB)/crt0-efi-x86_64.o $$^ -lefi -lgnuefi $(LIBGCC)

$(1)/BOOTX64.EFI: $(1)/loader.so
	$$(call say,EFI,$$@)
	$(Q)$(LOADER_EFI) $$< $$@

$(3): $(1)/BOOTX64.EFI tools/mkimage.py
	$(Q)$(PYTHON) tools/mkimage.py --efi $$< --output $$@ --state-mib 8
endef
$(eval $(call other_image,$(GUEST_DIR),$(GUEST_DIR)/root.elf,$(GUEST_DIR)/guest.img))

# ---- make bench: the real management code around one built-in guest ----------------------------------

BENCH_DIR := $(BUILD)/bench
BENCH_GUEST_OBJS := $(call objects,$(BENCH_DIR),$(call sources,tests/bench/guest,*.c) $(call sources,tests/bench/guest,*.S))
BENCH_GUEST_LDS := tests/bench/guest/bench.ld
BENCH_NODE_OBJS := $(call objects,$(BENCH_DIR),$(call sources,tests/bench/node,*.c) $(call sources,tests/bench/node,*.S)) \
	$(filter-out $(BUILD)/mgmt/mgmt/main.o,$(MGMT_OBJS))

$(BENCH_DIR)/tests/bench/guest/%.o: tests/bench/guest/%.c $(MAKEFILES_ALL) | $(GEN_STAMPS)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BENCH_DIR)/tests/bench/node/%.o: tests/bench/node/%.c $(MAKEFILES_ALL) | $(GEN_STAMPS) $(LIBC)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(MGMT_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BENCH_DIR)/tests/bench/%.o: tests/bench/%.S $(MAKEFILES_ALL)
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(GUEST_CFLAGS) -I$(BENCH_DIR) -D__ASSEMBLER__ $(DEPFLAGS) -c -o $@ $<

$(BENCH_DIR)/tests/bench/node/guest_blob.o: $(BENCH_DIR)/bench.bzimage

$(BENCH_DIR)/bench.elf: $(BENCH_GUEST_OBJS) $(BENCH_GUEST_LDS)
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -static --build-id=none -z noexecstack --no-warn-rwx-segments -T $(BENCH_GUEST_LDS) \
		-o $@ $(BENCH_GUEST_OBJS) $(LIBGCC)

$(BENCH_DIR)/bench.bzimage: $(BENCH_DIR)/bench.elf
	$(Q)$(OBJCOPY) -O binary $< $@

$(BENCH_DIR)/node.elf: $(BENCH_NODE_OBJS) $(MGMT_LDS) $(DEP_LIBS_FREE) $(LIBC)
	$(call say,LD,$@)
	$(Q)$(LD) -nostdlib -static --build-id=none --gc-sections -z max-page-size=4096 -z noexecstack \
		--no-warn-rwx-segments -Map=$(@:.elf=.map) -T $(MGMT_LDS) -o $@ $(BENCH_NODE_OBJS) \
		--start-group $(DEP_LIBS_FREE) $(LIBC) $(DEPS)/lib/libm.a $(LIBGCC) --end-group

$(eval $(call other_image,$(BENCH_DIR),$(BENCH_DIR)/node.elf,$(BENCH_DIR)/bench.img))

GUEST_TEST_NEEDS += $(GUEST_DIR)/guest.img $(BENCH_DIR)/bench.img

-include $(GUEST_KERNEL_OBJS:.o=.d) $(GUEST_ROOT_OBJS:.o=.d) $(BENCH_GUEST_OBJS:.o=.d) $(BENCH_NODE_OBJS:.o=.d)
