# SPDX-License-Identifier: Apache-2.0
# keelson-sim: the control plane as a host program over the simulated hypervisor (tests/sim/node_host.c).
# store-replay: the store alone, on the image of a node's disk (tests/sim/store_replay.c).

LOADER_SRCS := $(addprefix mgmt/devices/,kernel_loader.c kernel_parts.c kernel_place.c linux_loader.c bzimage.c elf_kernel.c multiboot.c pvh.c)
SIM_SRCS := $(wildcard mgmt/core/*.c mgmt/hcs/*.c mgmt/store/*.c mgmt/store/*.S) $(filter-out mgmt/state/partition_disk.c,$(wildcard mgmt/state/*.c)) $(filter-out net/stream_lwip.c net/net.c net/%_lwip.c,\
	net/stream.c $(wildcard net/http*.c net/ws.c net/tls*.c)) mgmt/hvif/hvif_status.c $(LOADER_SRCS) \
	mgmt/devices/acpi_tables.c mgmt/devices/guest_mem.c mgmt/block/block.c mgmt/block/mapped_disk.c mgmt/block/ram_disk.c mgmt/block/fat_image.c mgmt/block_metrics.c $(wildcard mgmt/vswitch/*.c) tests/sim/node_host.c tests/sim/plat_host.c \
	tests/sim/stream_host.c tests/sim/disk_file.c tests/sim/disk_queue.c tests/sim/hvif_sim.c tests/sim/dp_sim.c
SIM_OBJS := $(call objects,$(BUILD)/host/unit/obj,$(SIM_SRCS))
SIM_LIBS := $(DEPS)/host/libcjson.a $(DEPS)/host/libllhttp.a $(DEPS)/host/libmbedtls.a $(DEPS)/host/libsqlite3.a

$(BUILD)/keelson-sim: $(SIM_OBJS) $(SIM_LIBS)
	$(call say,HOSTLD,$@)
	$(Q)$(CC) $(SAN) -o $@ $^ -lm

-include $(SIM_OBJS:.o=.d)

.PHONY: sim
sim: $(BUILD)/keelson-sim ## keelson-sim: the control plane on Linux over a simulated hypervisor, with sanitizers

REPLAY_SRCS := $(wildcard mgmt/store/*.c mgmt/store/*.S) mgmt/block/gpt.c mgmt/hcs/json_write.c tests/sim/store_replay.c \
	tests/sim/disk_copy.c tests/sim/disk_queue.c tests/sim/plat_host.c
REPLAY_OBJS := $(call objects,$(BUILD)/host/unit/obj,$(REPLAY_SRCS))

$(BUILD)/store-replay: $(REPLAY_OBJS) $(DEPS)/host/libmbedtls.a $(DEPS)/host/libsqlite3.a
	$(call say,HOSTLD,$@)
	$(Q)$(CC) $(SAN) -o $@ $^ -lm

-include $(REPLAY_OBJS:.o=.d)

# keelctl is tested against it (tests/boot/test_keelctl.py), disks are looked at with it (tests/boot/test_power_cut.py).
GUEST_TEST_NEEDS += $(BUILD)/keelson-sim $(BUILD)/store-replay
