// SPDX-License-Identifier: Apache-2.0
// The control plane's start: which parts there are, and in which order they come up.
#include "mgmt/block/disk_io.h"
#include "mgmt/block/disks.h"
#include "mgmt/config.h"
#include "mgmt/core/auth.h"
#include "mgmt/core/core.h"
#include "mgmt/core/keeper.h"
#include "mgmt/core/network.h"
#include "mgmt/dataplane/dataplane.h"
#include "mgmt/dataplane/frame_link.h"
#include "mgmt/dataplane/uplink.h"
#include "mgmt/disk_metrics.h"
#include "mgmt/guest_device_metrics.h"
#include "mgmt/drivers/bring_up.h"
#include "mgmt/hcs/server.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/net_metrics.h"
#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/start.h"
#include "mgmt/shell/screen.h"
#include "mgmt/shell/shell.h"
#include "mgmt/state/partition_disk.h"
#include "mgmt/state/state.h"
#include "net/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCHDOG_S 60                   // generous: emulators may stop for a while
#define IPV4_PATIENCE_NS 10000000000ull // then the API starts with IPv6 addresses alone

static struct frame_link management_link;
static struct net_config net_config;
static struct core_node node;

// --- the API, as soon as there is an address ---

static struct net_listener address_listener;
static struct plat_timer ipv4_timer;
static bool ipv4_awaited = true;
static bool api_started;
static uint8_t certified_ipv4[4]; // in the certificate
static uint64_t loader_entry_tsc;

static void collect_names(struct api_server_names *names)
{
    _Static_assert(sizeof(names->ip) / sizeof(names->ip[0]) == NET_ADDRESSES_MAX, "address arrays");

    memset(names, 0, sizeof(*names));
    names->hostname = net_config.hostname;
    names->ip_count = net_addresses_raw(names->ip, names->ip_len);
}

static void remember_ipv4(const struct api_server_names *names)
{
    memset(certified_ipv4, 0, sizeof(certified_ipv4));
    for (size_t i = 0; i < names->ip_count; i++) {
        if (names->ip_len[i] == 4) {
            memcpy(certified_ipv4, names->ip[i], 4);
        }
    }
}

static bool ipv4_changed(const struct api_server_names *names)
{
    for (size_t i = 0; i < names->ip_count; i++) {
        if (names->ip_len[i] == 4) {
            return memcmp(certified_ipv4, names->ip[i], 4) != 0;
        }
    }
    return false;
}

static void announce(void)
{
    char text[NET_ADDRESSES_MAX][NET_ADDRESS_TEXT], fingerprint[96];
    size_t count = net_addresses(text);

    api_server_fingerprint(fingerprint);
    for (size_t i = 0; i < count; i++) {
        bool v6 = strchr(text[i], ':') != NULL;

        plat_log(LOG_NOTICE, "API ready: https://%s%s%s/", v6 ? "[" : "", text[i], v6 ? "]" : "");
    }
    plat_log(LOG_NOTICE, "certificate fingerprint (SHA-256): %s", fingerprint);
    plat_log(LOG_INFO, "%llu ticks since the loader's entry",
             (unsigned long long)(__builtin_ia32_rdtsc() - loader_entry_tsc));
}

// A change of certificate asks clients to trust again, so it follows the IPv4 address only.
static void addresses_changed(struct net_listener *l)
{
    struct api_server_names names;

    (void)l;
    collect_names(&names);
    if (names.ip_count == 0 || (ipv4_awaited && !net_has_ipv4())) {
        return;
    }
    ipv4_awaited = false;
    if (api_started && !ipv4_changed(&names)) {
        return;
    }
    remember_ipv4(&names);
    if (api_started) {
        api_server_refresh(&names);
    } else if (api_server_start(API_PORT, &names) == 0) {
        shell_start();
        return; // the log says why
    }
    api_started = true;
    announce();
    shell_start(); // once; at the end, so that the prompt is the last thing on the screen
}

static void no_ipv4(struct plat_timer *t)
{
    (void)t;
    ipv4_awaited = false;
    addresses_changed(&address_listener);
    if (!api_started) {
        plat_log(LOG_WARN, "network: no address yet%s", net_link_up() ? "" : ", the link is down");
        shell_start(); // the operator may find out why
    }
}

// --- parts ---

static void complain(unsigned line, const char *what)
{
    plat_log(LOG_WARN, "keelson.cfg line %u: %s", line, what);
}

static void start_network(void)
{
    const char *why;

    if (!net_init(&management_link.link, &net_config, &why)) {
        plat_log(LOG_ERROR, "network: %s", why);
        shell_start();
        return;
    }
    net_metrics_init();
    address_listener.address_changed = addresses_changed;
    net_listen_changes(&address_listener);
    plat_timer_start(&ipv4_timer, IPV4_PATIENCE_NS, no_ipv4);
    addresses_changed(&address_listener); // a static address is there already
}

static bool have_nic;

static void start_api(void)
{
    if (have_nic) {
        start_network();
    } else {
        shell_start();
    }
}

// --- administrator secret ---

// On the console alone, and nowhere else: it must not enter a log.
static void show_secret(char secret[AUTH_SECRET_TEXT])
{
    char line[96];
    int len = snprintf(line, sizeof(line), "administrator secret: %s\r\n", secret);
    hv_status_t status = hvif_console_write(line, (size_t)len);

    memset(secret, 0, AUTH_SECRET_TEXT);
    memset(line, 0, sizeof(line));
    __asm__ volatile("" : : "r"(secret), "r"(line) : "memory"); // the wiping is not for nothing
    if (status != HV_STATUS_SUCCESS) {
        plat_log(LOG_ERROR, "the administrator secret could not be shown");
    }
}

static char first_secret[AUTH_SECRET_TEXT];

static void secret_saved(void *arg, const struct core_error *error)
{
    (void)arg;
    if (error != NULL) {
        plat_log(LOG_ERROR, "the administrator secret is not kept over a restart: %s", error->text);
    }
    show_secret(first_secret);
    start_api();
}

// Shown when it is made, which with a store is once.
static void prepare_secret(void)
{
    uint8_t digest[AUTH_DIGEST];

    network_load();
    if (keeper() != NULL && keeper()->get_setting(AUTH_SETTING, digest, sizeof digest) == sizeof digest) {
        auth_set_digest(digest);
        plat_log(LOG_NOTICE, "the administrator secret is the one shown before; 'secret new' replaces it");
        start_api();
        return;
    }
    auth_new_secret(first_secret);
    if (keeper() == NULL) {
        show_secret(first_secret);
        start_api();
        return;
    }
    auth_get_digest(digest);
    keeper()->save_setting(AUTH_SETTING, digest, sizeof digest, secret_saved, NULL);
}

// --- the store, before everything that may need it ---

static void start_state(void)
{
    static struct partition_disk state_disk;
    const struct gpt_guid type = GPT_TYPE_STATE;
    uint32_t found;
    struct block_device *device = disks_find_type(&type, &found);

    if (device == NULL || found > 1 || device->read_only) {
        plat_log(LOG_WARN, "store: %s; nothing is kept over a restart",
                 device == NULL ? "there is no state partition"
                 : found > 1    ? "there are several state partitions"
                                : "the state partition is read-only");
        prepare_secret();
        return;
    }
    partition_disk_init(&state_disk, device);
    state_start(&state_disk.disk, device, device->name, prepare_secret);
}

// The NIC and the management address become ports of the default switch.
static bool start_uplink(struct nic *nic)
{
    uint8_t *memory = malloc(FRAME_MEMORY);

    if (memory == NULL) {
        plat_log(LOG_ERROR, "network: no memory for frames");
        return false;
    }
    frame_link_init(&management_link,
                    uplink_start(nic, network_find_switch(NETWORK_DEFAULT)->vswitch, memory), nic->mac);
    network_set_node_ports(uplink_port(), uplink_management_port());
    return true;
}

static void report_memory(void)
{
    uint64_t pool_total, pool_free, heap_total, heap_used;

    plat_pool_usage(&pool_total, &pool_free);
    plat_heap_usage(&heap_total, &heap_used);
    plat_log(LOG_NOTICE, "management partition up: %llu MB for guests, %llu MB heap",
             (unsigned long long)(pool_free >> 20), (unsigned long long)(heap_total >> 20));
}

void mgmt_main(const struct mgmt_boot_info *info)
{
    static const uint8_t no_mac[6];
    struct nic *nic;

    loader_entry_tsc = info->boot.tsc_entry;
    report_memory();
    rt_console_init();
    disk_io_init();
    disk_metrics_init();
    guest_device_metrics_init();
    nic = drivers_bring_up();
    network_init(nic != NULL ? nic->mac : no_mac);
    have_nic = nic != NULL && start_uplink(nic);
    dataplane_go();
    rt_watchdog_start(WATCHDOG_S);
    config_parse(info->boot.config, nic != NULL ? nic->mac : no_mac, &net_config, complain);
    node = (struct core_node){
        .version = info->version,
        .engine = info->engine,
        .cpu_brand = info->cpu_brand,
        .hostname = net_config.hostname,
        .cpu_count = info->cpu_count,
        .tsc_hz = info->tsc_hz,
    };
    memcpy(node.mac, nic != NULL ? nic->mac : no_mac, sizeof node.mac);
    core_init(&node);
    screen_start(&info->boot.fb, rt_gpa_to_virt(GPA(info->boot.fb.base)));
    start_state();
}
