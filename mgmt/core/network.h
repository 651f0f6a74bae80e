// SPDX-License-Identifier: Apache-2.0
// Networks of the node: switches, and endpoints, which say how a system's adapter is connected to one.
//
//   adapter of a system ──(EndpointId)──► endpoint ──► switch          without one: the default switch, untagged
//
// The default switch has the NIC as its uplink and the management address on it; it is always there. Others are private:
// guests alone. Both kinds of objects are kept by the keeper, if there is one, and seen when that is done. Control
// plane only.
#ifndef MGMT_CORE_NETWORK_H
#define MGMT_CORE_NETWORK_H

#include "mgmt/core/keeper.h"
#include "mgmt/vswitch/vswitch.h"

#define NETWORK_NAME_MAX 63
#define NETWORK_ID_TEXT 37 // a GUID in lower case
#define NETWORK_SWITCHES_MAX 32u
#define NETWORK_ENDPOINTS_MAX 1024u
#define NETWORK_DEFAULT "default"
#define NETWORK_ADAPTERS_MAX (SWITCH_MAX_PORTS - 6) // on a switch, before one more system comes

enum network_type { NETWORK_EXTERNAL, NETWORK_PRIVATE };

struct network_switch {
    struct network_switch *next;
    char name[NETWORK_NAME_MAX + 1];
    enum network_type type;
    struct vswitch *vswitch;
    unsigned endpoints, adapters; // that use it
    bool busy;                    // being kept or deleted: not for use
};

struct network_endpoint {
    struct network_endpoint *next;
    char id[NETWORK_ID_TEXT];
    struct network_switch *home;
    struct switch_port_settings settings; // mac: zeros if the adapter's own counts
    bool used;                            // by an adapter
    bool busy;
};

// Makes the default switch, once. `mac`: the node's own address, which no guest may have.
void network_init(const uint8_t mac[6]);
// Reads what the keeper has.
void network_load(void);

// Those that can be used; NULL starts, and ends.
struct network_switch *network_next_switch(const struct network_switch *previous);
struct network_switch *network_find_switch(const char *name);
struct network_endpoint *network_next_endpoint(const struct network_endpoint *previous);
struct network_endpoint *network_find_endpoint(const char *id); // in any case of letters

// Each returns an error at once, or CORE_OK and calls done() when it is kept, perhaps before it returns.
enum core_status network_add_switch(const char *name, keeper_done done, void *arg, struct core_error *error);
enum core_status network_delete_switch(const char *name, keeper_done done, void *arg,
                                       struct core_error *error);
enum core_status network_add_endpoint(const char *id, const char *home,
                                      const struct switch_port_settings *settings, keeper_done done,
                                      void *arg, struct core_error *error);
enum core_status network_delete_endpoint(const char *id, keeper_done done, void *arg,
                                         struct core_error *error);

// --- adapters of systems ---

struct system;

struct network_adapter {
    struct network_switch *home;       // NULL: none taken
    struct network_endpoint *endpoint; // NULL: none
    struct switch_port_settings settings;
};
// Could an adapter be connected so? `endpoint`: its id, "" for the default switch. `mac`: zeros if the endpoint's or any
// will do.
enum core_status network_check_adapter(const char *endpoint, const uint8_t mac[6], struct core_error *error);
// Takes endpoint and switch, and an address: the adapter's, the endpoint's, or a random one.
void network_take(struct network_adapter *a, const char *endpoint, const uint8_t mac[6]);
void network_release(struct network_adapter *a);

// --- ports, for showing them ---

struct network_port {
    const struct system *system; // whose adapter it is; NULL: the node's own
    unsigned adapter;            // number of the system's adapter
    bool uplink;                 // of the node's own: the NIC, otherwise the management address
    const struct network_endpoint *endpoint;
    const struct switch_port *port;
};
// The default switch's own ports; NULL: there is no NIC.
void network_set_node_ports(const struct switch_port *uplink, const struct switch_port *management);
// Those of running systems, and the node's own.
void network_each_port(const struct network_switch *s, void (*fn)(void *arg, const struct network_port *p),
                       void *arg);

#define NETWORK_IPV4_TEXT 16
// The address that the station behind a port got by DHCP; false: none was seen.
MUST_CHECK bool network_dhcp_address(const struct switch_port *p, char text[NETWORK_IPV4_TEXT]);

#define NETWORK_VLANS_TEXT 512
// Tagged VLANs as text such as "5,10-20", and back; text that does not fit ends in "...".
void network_vlans_text(const struct switch_port_settings *s, char text[NETWORK_VLANS_TEXT]);
MUST_CHECK bool network_read_vlans(const char *text, struct switch_port_settings *s);

// Six pairs of hexadecimal digits with - or : between them; not zero and not a group's address.
MUST_CHECK bool network_read_mac(const char *text, uint8_t mac[6]);
MUST_CHECK bool network_id_valid(const char *id);

#endif
