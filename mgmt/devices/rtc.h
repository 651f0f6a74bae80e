// SPDX-License-Identifier: Apache-2.0
// MC146818 real-time clock with 114 bytes of CMOS memory.
//
// Source: Motorola MC146818A datasheet. The time is the node's UTC plus an offset that the guest changes by
// setting the clock. Flags of register C are computed when somebody looks or when an enabled interrupt is
// due; without an enabled interrupt the clock costs nothing.
#ifndef MGMT_DEVICES_RTC_H
#define MGMT_DEVICES_RTC_H

#include "mgmt/devices/bus.h"
#include "mgmt/devices/ioapic.h"

#define RTC_PORTS 2
#define RTC_CMOS_SIZE 128

struct rtc {
    struct irq_line irq;
    bool *timers_moved; // set by every access: rtc_deadline() may be another
    uint8_t index;
    uint8_t cmos[RTC_CMOS_SIZE]; // time registers are meaningful only while register B SET is on
    int64_t offset_ms;           // guest time minus the node's
    int64_t seen_second;         // guest second up to which update and alarm flags are accounted
    uint64_t periodic_ns;        // next periodic event, plat_now_ns() clock; 0: divider off
};

extern const struct port_ops rtc_ops;

void rtc_init(struct rtc *rtc, struct irq_line irq, bool *timers_moved);
uint64_t rtc_deadline(const struct rtc *rtc); // plat_now_ns() clock; 0: none
void rtc_run(struct rtc *rtc);

#endif
