# SPDX-License-Identifier: Apache-2.0
# The initial RAM disk of Linux test guests: Debian's busybox and tools/initramfs/files.

GUEST_INITRAMFS := $(BUILD)/guest-initramfs.cpio.gz
INITRAMFS_FILES := $(shell find tools/initramfs/files -type f)

$(GUEST_INITRAMFS): tools/initramfs/mkinitramfs.py $(INITRAMFS_FILES) $(GUEST_BUSYBOX) mk/initramfs.mk
	$(call say,CPIO,$@)
	@mkdir -p $(@D)
	$(Q)$(PYTHON) tools/initramfs/mkinitramfs.py --busybox $(GUEST_BUSYBOX) --output $@

.PHONY: initramfs
initramfs: $(GUEST_INITRAMFS) ## build/guest-initramfs.cpio.gz: the small system of test guests

GUEST_TEST_NEEDS += $(GUEST_INITRAMFS)
