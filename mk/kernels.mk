# SPDX-License-Identifier: Apache-2.0
# Small kernels for the boot tests: one source, found as Multiboot ELF, Multiboot flat binary, PVH ELF.

KERNELS_DIR := $(BUILD)/kernels
KERNELS_LDS := tests/boot/kernels/kernel.ld
KERNELS_CFLAGS := -std=gnu11 $(WARNINGS) -m32 -march=i686 -O1 -ffreestanding -fno-pic -fno-pie -fno-stack-protector \
	-fcf-protection=none -fno-asynchronous-unwind-tables -mno-sse -mno-mmx -mno-80387
KERNELS := $(addprefix $(KERNELS_DIR)/,multiboot.elf multiboot.bin pvh.elf)

$(KERNELS_DIR)/report.o: tests/boot/kernels/report.c $(MAKEFILES_ALL)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(KERNELS_CFLAGS) -c -o $@ $<

# $(call small_kernel,NAME,DEFINE)
define small_kernel
$(KERNELS_DIR)/$(1).o: tests/boot/kernels/start.S $(MAKEFILES_ALL)
	@mkdir -p $$(@D)
	$(Q)$(CC) $(KERNELS_CFLAGS) -D$(2) -c -o $$@ $$<

$(KERNELS_DIR)/$(1).elf: $(KERNELS_DIR)/$(1).o $(KERNELS_DIR)/report.o $(KERNELS_LDS)
	$$(call say,LD,$$@)
	$(Q)$(LD) -m elf_i386 -nostdlib -static --build-id=none -z noexecstack -z max-page-size=4096 \
		--no-warn-rwx-segments -T $(KERNELS_LDS) -o $$@ $(KERNELS_DIR)/$(1).o $(KERNELS_DIR)/report.o
endef
$(eval $(call small_kernel,multiboot,MULTIBOOT_ELF))
$(eval $(call small_kernel,flat,MULTIBOOT_FLAT))
$(eval $(call small_kernel,pvh,PVH))

$(KERNELS_DIR)/multiboot.bin: $(KERNELS_DIR)/flat.elf
	$(Q)$(OBJCOPY) -O binary $< $@

.PHONY: kernels
kernels: $(KERNELS)

GUEST_TEST_NEEDS += $(KERNELS)
