// SPDX-License-Identifier: Apache-2.0
// The command table: what there is, what it takes, what it does.
#include "tools/keelctl/keelctl.h"

#define CREATE_OPTIONS                                                                                       \
    "file kernel initrd cmdline memory cpus disk nic hostname user ssh-key address gateway dns user-data "   \
    "meta-data network-config owner start console port from idle no-wait timeout"

const struct command commands[] = {
    {"image", "put", "NAME FILE", 2, 2, "raw", "upload a file, or standard input (-), as an image", image_put,
     false},
    {"image", "list", "", 0, 0, "", "images and uploads in progress", image_list, false},
    {"image", "show", "NAME", 1, 1, "", "one image", image_show, false},
    {"image", "delete", "NAME", 1, 1, "", "delete an image that no system uses", image_delete, false},

    {"disk", "create", "NAME", 1, 1, "size image snapshot", "create a disk on the state partition",
     disk_create, false},
    {"disk", "list", "", 0, 0, "", "disks and snapshots", disk_list, false},
    {"disk", "show", "NAME", 1, 1, "", "one disk", disk_show, false},
    {"disk", "resize", "NAME BYTES", 2, 2, "", "make a disk larger", disk_resize, false},
    {"disk", "snapshot", "NAME SNAPSHOT", 2, 2, "", "keep what a disk holds, and go on upon it",
     disk_snapshot, false},
    {"disk", "delete", "NAME", 1, 1, "", "delete a disk or a snapshot", disk_delete, false},

    {"system", "create", "ID", 1, 1, CREATE_OPTIONS, "define a system by a document or by short options",
     system_create, false},
    {"system", "start", "ID", 1, 1, "console port from idle no-wait timeout", "start a system", system_start,
     false},
    {"system", "stop", "ID", 1, 1, "no-wait timeout", "terminate a system at once", system_stop, false},
    {"system", "shutdown", "ID", 1, 1, "no-wait timeout", "press a system's power button and wait",
     system_shutdown, false},
    {"system", "pause", "ID", 1, 1, "no-wait timeout", "suspend a system's processors", system_pause, false},
    {"system", "resume", "ID", 1, 1, "no-wait timeout", "let a paused system go on", system_resume, false},
    {"system", "list", "", 0, 0, "", "all systems", system_list, false},
    {"system", "show", "ID", 1, 1, "", "one system: state, memory, processors, times", system_show, false},
    {"system", "properties", "ID", 1, 1, "types", "the system's Properties document", system_properties,
     false},
    {"system", "console", "ID", 1, 1, "port from new idle", "attach to a serial port; Ctrl-] leaves",
     system_console, false},
    {"system", "history", "ID", 1, 1, "port from", "print what a serial port has said", system_history,
     false},
    {"system", "wait", "ID", 1, 1, "timeout", "wait until a system has ended, and say how", system_wait,
     false},
    {"system", "delete", "ID", 1, 1, "force no-wait timeout", "forget a system that has stopped",
     system_delete, false},

    {"node", "show", "", 0, 0, "", "version, processors, memory, uptime", node_show, false},
    {"node", "trust", "[FINGERPRINT]", 0, 1, "", "remember the node's certificate as the right one",
     node_trust, true},
    {"node", "partitions", "", 0, 0, "", "what the hypervisor counts for each partition", node_partitions,
     false},
    {"node", "log", "", 0, 0, "from", "the hypervisor's log", node_log, false},
    {"node", "metrics", "", 0, 0, "", "counters in Prometheus' text format", node_metrics, false},
    {"node", "reboot", "", 0, 0, "force", "restart the node", node_reboot, false},
    {"node", "poweroff", "", 0, 0, "force", "power the node off", node_poweroff, false},

    {"switch", "list", "", 0, 0, "", "virtual switches", switch_list, false},
    {"switch", "show", "NAME", 1, 1, "", "a switch's ports and what they count", switch_show, false},
    {"switch", "create", "NAME", 1, 1, "", "make a switch for systems alone", switch_create, false},
    {"switch", "delete", "NAME", 1, 1, "", "delete a switch that nothing uses", switch_delete, false},

    {"endpoint", "list", "", 0, 0, "", "how adapters are connected that name them", endpoint_list, false},
    {"endpoint", "create", "[ID]", 0, 1, "switch mac vlan tagged rate allow-spoofing",
     "make an endpoint, with an id of its own unless given", endpoint_create, false},
    {"endpoint", "delete", "ID", 1, 1, "", "delete an endpoint that no adapter uses", endpoint_delete, false},

    {"store", "show", "", 0, 0, "", "the state partition: space and commits", store_show, false},
    {"store", "check", "", 0, 0, "", "look for inconsistencies", store_check, false},
    {"store", "scrub", "", 0, 0, "", "read everything and compare digests", store_scrub, false},

    {"event", "list", "", 0, 0, "from follow", "what has happened on the node", event_list, false},

    {"operation", "list", "", 0, 0, "", "operations, newest first", operation_list, false},
    {"operation", "show", "NUMBER", 1, 1, "", "one operation", operation_show, false},
    {"operation", "wait", "NUMBER", 1, 1, "timeout", "wait until an operation has ended", operation_wait,
     false},
    {"operation", "delete", "NUMBER", 1, 1, "", "forget an operation", operation_delete, false},

    {"completion", "bash", "", 0, 0, "", "print a completion script: source <(keelctl completion bash)",
     completion_bash, true},
    {0},
};
