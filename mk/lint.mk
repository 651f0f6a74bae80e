# SPDX-License-Identifier: Apache-2.0
# Style and static analysis.

C_FILES = $(call sources,include hv arch boot mgmt net tests tools,*.[ch])
LINT_HEADERS = $(call sources,include hv arch mgmt net,*.h)
# gcc's own headers do not suit clang; its resource directory holds the freestanding ones.
CLANG_INCLUDE := $(shell $(CLANG) -print-resource-dir 2>/dev/null)/include
CLANG_FLAGS := -std=gnu11 -ffreestanding -nostdinc -isystem $(CLANG_INCLUDE) -Wall -Wextra $(INCLUDES)

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

# A stamp a file: files are checked in parallel, and again when they or any header have changed. On standard error
# clang-tidy only counts what it has hidden.
# $(call tidy,KIND,SOURCES,FLAGS)
define tidy
$(2:%=$(BUILD)/tidy/$(1)/%.ok): $(BUILD)/tidy/$(1)/%.ok: % $$(TIDY_NEEDS) | $$(GEN_STAMPS) $$(LIBC)
	$$(call say,TIDY,$$<)
	@mkdir -p $$(@D)
	$$(Q)clang-tidy --quiet $$< -- $(3) 2>/dev/null
	@touch $$@
lint-tidy: $(2:%=$(BUILD)/tidy/$(1)/%.ok)
endef
TIDY_NEEDS := .clang-tidy mk/lint.mk $(call sources,include hv arch boot mgmt net tools,*.h)

$(eval $(call tidy,hv,$(filter %.c,$(HV_SRCS)),$(CLANG_FLAGS) -mcmodel=kernel -DKEELSON_HV))
$(eval $(call tidy,mgmt,$(filter %.c,$(MGMT_SRCS)),$(CLANG_FLAGS) $(FREESTANDING_LIBC) $(DEP_INCLUDES) -DKEELSON_MGMT))
$(eval $(call tidy,boot,$(filter %.c,$(BOOT_SRCS)),$(CLANG_FLAGS) -fshort-wchar -isystem $(EFI_INCLUDE) \
	-isystem $(EFI_INCLUDE)/x86_64 -DGNU_EFI_USE_MS_ABI -DEFI_FUNCTION_WRAPPER -DKEELSON_BOOT))
$(eval $(call tidy,host,$(call sources,tools,*.c),$(HOST_CFLAGS)))

# Findings of cppcheck 2.10 that are wrong, each where it is:
#   comparePointers            ends of one table or image, named by the linker script
#   arrayIndexOutOfBoundsCond  copy_text() stops at the terminator of a shorter string
#   objectIndex                the panic's trace reads up the stack, to the end of its page
#   constStatement             a register variable used by an asm statement alone
#   internalAstError           (struct completion){0} behind a question mark is no syntax error
#   invalidPrintfArgType_uint  the operands of >> and & are promoted, but never negative
CPPCHECK_WRONG := missingInclude missingIncludeSystem comparePointers:arch/x86/smp.c comparePointers:arch/x86/trap.c \
	arrayIndexOutOfBoundsCond:hv/root.c objectIndex:mgmt/rt/interrupt_isr.c constStatement:mgmt/hvif/hvif_call.c \
	internalAstError:mgmt/dataplane/loop.c invalidPrintfArgType_uint:mgmt/devices/bzimage.c

# lwIP's macro makes a declaration that cppcheck does not follow.
lint-cppcheck: $(GEN_STAMPS)
	$(call say,CPPCHK,hv arch boot mgmt net)
	$(Q)cppcheck --quiet --error-exitcode=1 --enable=warning,portability --inline-suppr --std=c11 \
		$(CPPCHECK_WRONG:%=--suppress=%) '-DNETIF_DECLARE_EXT_CALLBACK(x)=' \
		-j $(shell nproc) -I. -Iinclude -I$(BUILD) hv arch boot mgmt net

# The hypervisor keeps guests' vector registers loaded while it runs: an instruction that touches one would
# corrupt a guest. Saving and restoring them by XSAVE names none.
lint-images: $(BUILD)/hv/hv.elf
	$(call say,IMAGES,$<)
	$(Q)if objdump -d --no-show-raw-insn $< | grep -E '%([xyz]?mm[0-9]|st\b)'; then \
		echo 'lint: vector or x87 registers used in $<' >&2; exit 1; fi

# The data plane uses no libc, apart from functions that only touch the memory they are given.
PLANE_ALLOWED := memcpy|memmove|memset|memcmp|memchr|strlen|strcmp|strncmp|strnlen
# The loaders lie beside the devices and run in the control plane.
PLANE_OBJS := $(filter-out $(patsubst %.c,%.o,$(addprefix %/,$(notdir $(LOADER_SRCS)))),$(MGMT_NO_SSE))
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
