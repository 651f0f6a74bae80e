# SPDX-License-Identifier: Apache-2.0
# The UEFI application, which carries both images, and the disk image that carries it.

BOOT_SRCS := $(filter-out %_host.c,$(call sources,boot,*.c) $(call sources,boot,*.S))
BOOT_OBJS := $(call objects,$(BUILD)/boot,$(BOOT_SRCS))
EFI_LIB := /usr/lib
EFI_INCLUDE := /usr/include/efi
PAYLOAD_DIR := $(BUILD)/payload
PAYLOAD := $(PAYLOAD_DIR)/hv.elf $(PAYLOAD_DIR)/mgmt.elf

# $(PAYLOAD_DIR) is on the include path, so that payload.S can say .incbin "hv.elf".
BOOT_CFLAGS := -std=gnu11 $(WARNINGS) -m64 -march=x86-64 -ffreestanding -fpic -fshort-wchar -mno-red-zone \
	-maccumulate-outgoing-args -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
	-fno-unwind-tables -fno-strict-aliasing -fno-common -O2 -g $(PREFIX_MAP) $(INCLUDES) -I$(PAYLOAD_DIR) \
	-isystem $(EFI_INCLUDE) -isystem $(EFI_INCLUDE)/x86_64 -DGNU_EFI_USE_MS_ABI -DEFI_FUNCTION_WRAPPER -DKEELSON_BOOT

$(BUILD)/boot/%.o: %.c $(MAKEFILES_ALL) | $(GEN_STAMPS)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BOOT_CFLAGS) $(DEPFLAGS) -c -o $@ $<

$(BUILD)/boot/%.o: %.S $(MAKEFILES_ALL) | $(GEN_STAMPS)
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(BOOT_CFLAGS) -D__ASSEMBLER__ $(DEPFLAGS) -c -o $@ $<

# Symbols stay in build/hv and build/mgmt for debuggers; the loader needs none.
$(PAYLOAD_DIR)/hv.elf: $(BUILD)/hv/hv.elf
$(PAYLOAD_DIR)/mgmt.elf: $(BUILD)/mgmt/mgmt.elf
$(PAYLOAD):
	$(call say,STRIP,$@)
	@mkdir -p $(@D)
	$(Q)$(OBJCOPY) --strip-all $< $@

$(BUILD)/boot/boot/payload.o: $(PAYLOAD)

# Also used for the test loader of mk/guest.mk.
LOADER_LD = $(LD) -nostdlib -shared -Bsymbolic -znocombreloc -z noexecstack --build-id=none --no-undefined \
	--no-warn-rwx-segments -T $(EFI_LIB)/elf_x86_64_efi.lds -L$(EFI_LIB)
LOADER_EFI = $(OBJCOPY) -j .text -j .sdata -j .data -j .rodata -j .dynamic -j .dynsym -j '.rel*' -j '.rela*' \
	-j .reloc --target efi-app-x86_64

$(eval $(call list_stamp,boot,$(BOOT_OBJS)))
$(BUILD)/boot/loader.so: $(BUILD)/stamps/boot.list $(BOOT_OBJS) $(EFI_LIB)/crt0-efi-x86_64.o $(EFI_LIB)/elf_x86_64_efi.lds
	$(call say,LD,$@)
	$(Q)$(LOADER_LD) -o $@ $(EFI_LIB)/crt0-efi-x86_64.o $(BOOT_OBJS) -lefi -lgnuefi $(LIBGCC)

$(BUILD)/BOOTX64.EFI: $(BUILD)/boot/loader.so
	$(call say,EFI,$@)
	$(Q)$(LOADER_EFI) $< $@

$(BUILD)/keelson.img: $(BUILD)/BOOTX64.EFI tools/mkimage.py include/keelson/gpt.h
	$(call say,IMAGE,$@)
	$(Q)$(PYTHON) tools/mkimage.py $(MKIMAGE_FLAGS) --efi $< --output $@

-include $(BOOT_OBJS:.o=.d)
