// SPDX-License-Identifier: Apache-2.0
// First-boot values from keelson.cfg, as the management partition understands them.
//
// Lines of `key = value`; `#` starts a comment line; the last line of a key wins. The loader has tidied the
// text and knows `console`, `log_level` and `apic_virtualization`. The keys here:
//
//   hostname = NAME          letters, digits, hyphens, at most 63; default keelson-XXXXXX by the MAC address
//   network  = dhcp | static default dhcp
//   address, netmask, gateway, dns = A.B.C.D        for static
//   ntp      = NAME          time server; default: what DHCP names
//   ipv6     = on | off      default on
#ifndef MGMT_CONFIG_H
#define MGMT_CONFIG_H

#include "net/net.h"

// Reads what the text says into *net, which gets defaults first. Each line that cannot be understood is
// reported through `complain` (may be NULL) with its number and what is wrong, and otherwise ignored.
void config_parse(const char *text, const uint8_t mac[6], struct net_config *net,
                  void (*complain)(unsigned line, const char *what));

#endif
