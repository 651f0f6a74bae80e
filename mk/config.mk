# SPDX-License-Identifier: Apache-2.0
# Tools, common flags, helper functions.

BUILD ?= build
# Third-party code is shared by all build directories.
DEPS ?= build/deps
ROOT := $(CURDIR)

# Run only the tests whose name contains this.
TESTS ?=

V ?= 0
ifeq ($(V),1)
Q :=
say :=
else
Q := @
say = @printf '  %-7s %s\n' '$(1)' '$(2)'
endif

# Use all processors unless the caller said how many.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

CC := gcc
LD := ld
AR := ar
OBJCOPY := objcopy
CLANG := clang
# Not the first python3 on PATH, which may be one without Debian's modules.
PYTHON := /usr/bin/python3

# Images must come out the same bit for bit, wherever and whenever they are built.
export SOURCE_DATE_EPOCH := 1767225600
export LC_ALL := C
export TZ := UTC
PREFIX_MAP := -ffile-prefix-map=$(ROOT)=. -ffile-prefix-map=$(abspath $(BUILD))=build

# Files whose change rebuilds every object.
MAKEFILES_ALL := Makefile $(wildcard mk/*.mk)

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
INCLUDES := -I. -Iinclude -I$(BUILD)
DEPFLAGS = -MMD -MP -MF $(@:.o=.d)
GCC_INCLUDE := $(shell $(CC) -print-file-name=include)
LIBGCC := $(shell $(CC) -print-libgcc-file-name)

# Flags that hypervisor, management partition and freestanding libraries have in common.
FREESTANDING := -m64 -march=x86-64 -ffreestanding -nostdinc -isystem $(GCC_INCLUDE) -mno-red-zone -fno-pic -fno-pie \
	-fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-unwind-tables \
	-fno-common -fno-strict-aliasing -O2 -g $(PREFIX_MAP)

# Without these the host's gcc tells portable code that it runs on Linux.
NOT_LINUX := -U__linux__ -U__linux -Ulinux -U__gnu_linux__ -U__unix__ -U__unix -Uunix

# $(call sources,FOLDERS,PATTERN): files below the folders, at any depth, in a stable order.
sources = $(sort $(foreach d,$(1),$(wildcard $(d)/$(2))) \
	$(foreach d,$(1),$(foreach s,$(wildcard $(d)/*/),$(call sources,$(s:/=),$(2)))))

# $(call objects,DIR,SOURCES): where their objects go.
objects = $(patsubst %,$(1)/%.o,$(basename $(2)))

# $(call list_stamp,NAME,WORDS): rule for $(BUILD)/stamps/NAME.list, which changes when the words do. What is
# linked from WORDS depends on it, so that removing a source file relinks.
define list_stamp
$(BUILD)/stamps/$(1).list: FORCE
	@mkdir -p $$(@D)
	@echo '$(2)' | cmp -s - $$@ || echo '$(2)' >$$@
endef
.PHONY: FORCE
