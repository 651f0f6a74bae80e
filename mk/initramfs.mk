# SPDX-License-Identifier: Apache-2.0
# The initial RAM disk of Linux test guests: Debian's busybox, modules of Debian's kernel, tools/initramfs/files.

GUEST_INITRAMFS := $(BUILD)/guest-initramfs.cpio.gz
GUEST_MODULES := $(BUILD)/guest-modules
INITRAMFS_FILES := $(shell find tools/initramfs/files -type f)

# The package that $(GUEST_VMLINUZ) came from is in the download cache under the name that this file holds.
$(GUEST_MODULES)/.unpacked: tools/initramfs/modules.txt $(DEPS)/cache/linux-image-amd64.list mk/initramfs.mk
	$(call say,UNPACK,$(@D))
	@rm -rf $(@D) && mkdir -p $(@D)
	$(Q)dpkg-deb --fsys-tarfile $(DEPS)/cache/$$(cat $(DEPS)/cache/linux-image-amd64.list) | \
		tar -x -C $(@D) --strip-components=4 --wildcards $$(sed -nE 's|^-?kernel/|./lib/modules/*/kernel/|p' $<)
	@touch $@

$(GUEST_INITRAMFS): tools/initramfs/mkinitramfs.py $(INITRAMFS_FILES) $(GUEST_BUSYBOX) mk/initramfs.mk \
		$(GUEST_MODULES)/.unpacked
	$(call say,CPIO,$@)
	@mkdir -p $(@D)
	$(Q)$(PYTHON) tools/initramfs/mkinitramfs.py --busybox $(GUEST_BUSYBOX) --modules $(GUEST_MODULES) \
		--module-list tools/initramfs/modules.txt --output $@

.PHONY: initramfs
initramfs: $(GUEST_INITRAMFS) ## build/guest-initramfs.cpio.gz: the small system of test guests

GUEST_TEST_NEEDS += $(GUEST_INITRAMFS)
