# SPDX-License-Identifier: Apache-2.0
# Third-party code: fetched and unpacked by tools/deps/, built here as static libraries.
#
#   $(DEPS)/src/NAME        unpacked sources                $(DEPS)/lib/libNAME.a   freestanding
#   $(DEPS)/include/NAME    the headers, one -isystem each  $(DEPS)/host/libNAME.a  native, for unit tests
#
# The include of ready.mk makes make fetch first and then start over, so that the wildcards below see the
# unpacked sources.

DEPS_SRC := $(DEPS)/src
LWIP_DIR := $(DEPS_SRC)/lwip/src
MBEDTLS_DIR := $(DEPS_SRC)/mbedtls
LLHTTP_DIR := $(DEPS_SRC)/node-llhttp/usr/share/llhttp
CJSON_DIR := $(DEPS_SRC)/cjson
ZYDIS_DIR := $(DEPS_SRC)/zydis
SQLITE_DIR := $(DEPS)/sqlite

# The kernel and shell for test guests.
GUEST_VMLINUZ := $(DEPS)/linux/vmlinuz
GUEST_BUSYBOX := $(DEPS)/linux/busybox

ifneq ($(WITH_DEPS),)
include $(DEPS)/ready.mk
endif

$(DEPS)/ready.mk: tools/deps/packages.txt tools/deps/deps.lock tools/deps/setup.sh tools/deps/fetch.sh \
		tools/deps/sqlite.sh tools/deps/headers.sh
	@tools/deps/setup.sh
	@tools/deps/fetch.sh $(DEPS)
	@tools/deps/sqlite.sh $(DEPS)
	@tools/deps/headers.sh $(DEPS)
	@echo '# Written when everything in tools/deps/deps.lock is unpacked.' >$@

# ---- newlib ------------------------------------------------------------------------------------------

LIBC := $(DEPS)/lib/libc.a

$(LIBC): tools/deps/newlib.sh $(DEPS_SRC)/newlib/.unpacked
	$(call say,NEWLIB,$@ (about a minute))
	$(Q)flock $(DEPS)/.lock sh -c '[ $@ -nt tools/deps/newlib.sh ] || \
		tools/deps/newlib.sh $(DEPS_SRC)/newlib $(DEPS)/newlib-work $(DEPS)' \
		>$(DEPS)/newlib.log 2>&1 || { tail -20 $(DEPS)/newlib.log; exit 1; }
	@touch $@

NEWLIB_INCLUDE := -isystem $(DEPS)/include/newlib
FREESTANDING_LIBC := -D__DYNAMIC_REENT__ $(NOT_LINUX) $(NEWLIB_INCLUDE)

# ---- the other libraries -----------------------------------------------------------------------------
#
# For each NAME: NAME_SRCS, NAME_CFLAGS (both variants), NAME_HEADERS (our configuration headers that it
# reads: they make its objects depend on generated and project files).

mbedtls_SRCS := $(sort $(wildcard $(MBEDTLS_DIR)/library/*.c))
mbedtls_CFLAGS := -I. -isystem $(MBEDTLS_DIR)/include -I$(MBEDTLS_DIR)/library
MBEDTLS_CONFIG := -DMBEDTLS_CONFIG_FILE='"net/mbedtls_config.h"'
mbedtls_CFLAGS += $(MBEDTLS_CONFIG)

# lwIP is configured by net/lwipopts.h and net/arch/cc.h; it is built once they exist.
ifneq ($(wildcard net/lwipopts.h),)
lwip_SRCS := $(sort $(wildcard $(LWIP_DIR)/core/*.c $(LWIP_DIR)/core/ipv4/*.c $(LWIP_DIR)/core/ipv6/*.c)) \
	$(wildcard $(LWIP_DIR)/netif/ethernet.c $(LWIP_DIR)/apps/mdns/mdns.c $(LWIP_DIR)/apps/sntp/sntp.c)
endif
LWIP_INCLUDE := -iquote net
lwip_CFLAGS := -I. -Iinclude $(LWIP_INCLUDE) -I$(LWIP_DIR)/include

llhttp_SRCS := $(sort $(wildcard $(LLHTTP_DIR)/*.c))
# Strict: no spaces in header names, no bare CR or LF.
llhttp_CFLAGS := -DLLHTTP_STRICT_MODE=1 -I$(DEPS)/include/llhttp

cjson_SRCS := $(wildcard $(CJSON_DIR)/cJSON.c)
cjson_CFLAGS := -DCJSON_HIDE_SYMBOLS -DCJSON_NESTING_LIMIT=64

# Decoder only: neither the formatter nor the encoder, which are most of the size.
zydis_SRCS := $(addprefix $(ZYDIS_DIR)/src/,Decoder.c DecoderData.c MetaInfo.c Mnemonic.c Register.c \
	Segment.c SharedData.c String.c Utils.c Zydis.c)
ZYDIS_DEFINES := -DZYAN_NO_LIBC -DZYDIS_STATIC_BUILD -DZYCORE_STATIC_BUILD -DZYDIS_DISABLE_FORMATTER \
	-DZYDIS_DISABLE_ENCODER
# It decodes in the data plane, where vector registers are a guest's.
zydis_CFLAGS_FREE := -mgeneral-regs-only
zydis_CFLAGS := $(ZYDIS_DEFINES) -I$(DEPS)/include/zydis -I$(ZYDIS_DIR)/src

# No files, threads, locks or shared libraries of its own: mgmt/store/vfs.c is its operating system. The journal is
# a rollback journal; what else it would put into temporary files stays in memory.
sqlite3_SRCS := $(SQLITE_DIR)/sqlite3.c
sqlite3_CFLAGS := -DSQLITE_OS_OTHER=1 -DSQLITE_THREADSAFE=0 -DSQLITE_TEMP_STORE=3 -DSQLITE_STMTJRNL_SPILL=-1 \
	-DSQLITE_DEFAULT_MEMSTATUS=0 -DSQLITE_DQS=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_OMIT_WAL \
	-DSQLITE_OMIT_LOCALTIME -DSQLITE_OMIT_DEPRECATED -DSQLITE_OMIT_SHARED_CACHE -DSQLITE_OMIT_AUTOINIT

DEP_LIBS := mbedtls lwip llhttp cjson zydis sqlite3
DEP_INCLUDES := $(foreach l,$(DEP_LIBS),-isystem $(DEPS)/include/$(l)) $(LWIP_INCLUDE) $(MBEDTLS_CONFIG) \
	$(ZYDIS_DEFINES)

DEP_CFLAGS_FREE := -std=gnu11 $(FREESTANDING) -mcmodel=small -ffunction-sections -fdata-sections -w -DKEELSON_MGMT
DEP_CFLAGS_HOST := -std=gnu11 -O2 -g $(PREFIX_MAP) -w -DKEELSON_HOST

# $(call dep_object,LIB,SOURCE): rules for both objects of a third-party source. They depend on the file
# that says which unpacked version this is, not on the source's own date.
define dep_object
$(DEPS)/obj/free/$(1)/$(notdir $(2:.c=.o)): $(2) mk/deps.mk mk/config.mk | $(LIBC)
	$$(call say,CC,$$<)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(DEP_CFLAGS_FREE) $$(FREESTANDING_LIBC) $$($(1)_CFLAGS) $$($(1)_CFLAGS_FREE) $$(DEPFLAGS) -c -o $$@ $$<
$(DEPS)/obj/host/$(1)/$(notdir $(2:.c=.o)): $(2) mk/deps.mk mk/config.mk
	$$(call say,HOSTCC,$$<)
	@mkdir -p $$(@D)
	$$(Q)$$(CC) $$(DEP_CFLAGS_HOST) $$($(1)_CFLAGS) $$(DEPFLAGS) -c -o $$@ $$<
$(1)_OBJS_FREE += $(DEPS)/obj/free/$(1)/$(notdir $(2:.c=.o))
$(1)_OBJS_HOST += $(DEPS)/obj/host/$(1)/$(notdir $(2:.c=.o))
endef

define dep_lib
$(foreach s,$($(1)_SRCS),$(eval $(call dep_object,$(1),$(s))))
$(DEPS)/lib/lib$(1).a: $$($(1)_OBJS_FREE)
	$$(call say,AR,$$@)
	@mkdir -p $$(@D) && rm -f $$@
	$$(Q)$$(AR) rcsD $$@ $$^
$(DEPS)/host/lib$(1).a: $$($(1)_OBJS_HOST)
	$$(call say,AR,$$@)
	@mkdir -p $$(@D) && rm -f $$@
	$$(Q)$$(AR) rcsD $$@ $$^
-include $$($(1)_OBJS_FREE:.o=.d) $$($(1)_OBJS_HOST:.o=.d)
endef

$(foreach l,$(DEP_LIBS),$(if $($(l)_SRCS),$(eval $(call dep_lib,$(l)))))

DEP_LIBS_BUILT := $(foreach l,$(DEP_LIBS),$(if $($(l)_SRCS),$(l)))
DEP_LIBS_FREE := $(DEP_LIBS_BUILT:%=$(DEPS)/lib/lib%.a)

.PHONY: deps
deps: $(LIBC) $(DEP_LIBS_FREE) $(DEP_LIBS_BUILT:%=$(DEPS)/host/lib%.a) ## fetch and build the third-party libraries
