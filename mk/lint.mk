# SPDX-License-Identifier: Apache-2.0
# Style and static analysis.

C_FILES = $(call sources,include hv arch boot mgmt net tests tools,*.[ch])
LINT_HEADERS = $(call sources,include hv arch mgmt net,*.h)
TIDY_HV = $(filter %.c,$(HV_SRCS))
TIDY_MGMT = $(filter %.c,$(MGMT_SRCS))
# gcc's own headers do not suit clang; its resource directory holds the freestanding ones.
CLANG_INCLUDE := $(shell $(CLANG) -print-resource-dir 2>/dev/null)/include
CLANG_FLAGS = -std=gnu11 -ffreestanding -nostdinc -isystem $(CLANG_INCLUDE) -Wall -Wextra $(INCLUDES)

lint: lint-format lint-headers lint-tidy lint-cppcheck lint-images lint-planes ## formatting, self-contained headers, clang-tidy, cppcheck

format: ## reformat all C files in place
	$(Q)clang-format -i $(C_FILES)

.PHONY: lint-format lint-headers lint-tidy lint-cppcheck lint-images lint-planes repro
lint-format:
	$(call say,FORMAT,$(words $(C_FILES)) files)
	$(Q)[ -z "$(C_FILES)" ] || clang-format --dry-run -Werror $(C_FILES)

# Each header must compile alone. Headers of one plane are compiled with its flags.
lint-headers: $(GEN_STAMPS) $(LIBC)
	$(call say,HEADERS,$(words $(LINT_HEADERS)) files)
	$(Q)failed=0; for h in $(LINT_HEADERS); do \
		case $$h in \
		hv/*|arch/*) flags='$(HV_CFLAGS)' ;; \
		*) flags='$(subst ','\'',$(MGMT_CFLAGS))' ;; \
		esac; \
		echo "#include \"$$h\"" | eval $(CC) $$flags -Wno-error=unused-function -fsyntax-only -x c - || failed=1; \
	done; exit $$failed

lint-tidy: $(GEN_STAMPS) $(LIBC)
	$(call say,TIDY,$(words $(TIDY_HV) $(TIDY_MGMT)) files)
	$(Q)[ -z "$(TIDY_HV)" ] || clang-tidy --quiet $(TIDY_HV) -- $(CLANG_FLAGS) -mcmodel=kernel -DKEELSON_HV 2>/dev/null
	$(Q)[ -z "$(TIDY_MGMT)" ] || clang-tidy --quiet $(TIDY_MGMT) -- $(CLANG_FLAGS) $(FREESTANDING_LIBC) \
		$(DEP_INCLUDES) -DKEELSON_MGMT 2>/dev/null

lint-cppcheck: $(GEN_STAMPS)
	$(call say,CPPCHK,hv arch boot mgmt net)
	$(Q)cppcheck --quiet --error-exitcode=1 --enable=warning,portability --inline-suppr --std=c11 \
		--suppress=missingInclude --suppress=missingIncludeSystem --suppress=unmatchedSuppression --suppress=comparePointers --suppress=internalAstError \
		--suppress=invalidPrintfArgType_uint --suppress=constStatement --suppress=objectIndex \
		--suppress=arrayIndexOutOfBoundsCond -DNETIF_DECLARE_EXT_CALLBACK\(x\)= \
		-j $(shell nproc) -I. -Iinclude -I$(BUILD) $(wildcard hv arch boot mgmt net)

# The hypervisor keeps guests' vector registers loaded while it runs: an instruction that touches one would
# corrupt a guest. Saving and restoring them by XSAVE names none.
lint-images: $(BUILD)/hv/hv.elf
	$(call say,IMAGES,$<)
	$(Q)if objdump -d --no-show-raw-insn $< | grep -E '%([xyz]?mm[0-9]|st\b)'; then \
		echo 'lint: vector or x87 registers used in $<' >&2; exit 1; fi

# The data plane uses no libc, apart from functions that only touch the memory they are given.
PLANE_ALLOWED := memcpy|memmove|memset|memcmp|memchr|strlen|strcmp|strncmp|strnlen
# The Linux loader lies beside the devices and runs in the control plane.
PLANE_OBJS := $(filter-out %/linux_loader.o %/bzimage.o,$(MGMT_NO_SSE))
lint-planes: $(PLANE_OBJS) $(LIBC)
	$(call say,PLANES,$(words $(PLANE_OBJS)) objects)
	@mkdir -p $(BUILD)/stamps
	$(Q)nm -g --defined-only -P $(LIBC) 2>/dev/null | awk 'NF > 2 { print $$1 }' | \
		grep -vxE '$(PLANE_ALLOWED)' | sort -u >$(BUILD)/stamps/libc.names
	$(Q)failed=0; for o in $(PLANE_OBJS); do \
		for s in $$(nm -u -P $$o | awk '{ print $$1 }' | grep -xFf $(BUILD)/stamps/libc.names); do \
			echo "lint: $${o#$(BUILD)/mgmt/}: uses $$s of libc, which the data plane may not" >&2; failed=1; \
		done; done; exit $$failed

repro: image ## build a second time elsewhere and compare the images
	$(Q)rm -rf $(BUILD)/repro
	$(Q)$(MAKE) --no-print-directory BUILD=$(BUILD)/repro $(BUILD)/repro/keelson.img >/dev/null
	$(Q)cmp $(BUILD)/keelson.img $(BUILD)/repro/keelson.img && echo '  REPRO   identical'
