// SPDX-License-Identifier: Apache-2.0
// MC146818 real-time clock with 114 bytes of CMOS memory.

#include "mgmt/devices/rtc.h"

#include "mgmt/plat.h"

enum {
    REG_SECOND,
    REG_SECOND_ALARM,
    REG_MINUTE,
    REG_MINUTE_ALARM,
    REG_HOUR,
    REG_HOUR_ALARM,
    REG_WEEKDAY,
    REG_DAY,
    REG_MONTH,
    REG_YEAR,
    REG_A,
    REG_B,
    REG_C,
    REG_D,
    REG_CENTURY = 0x32
};

#define A_UIP 0x80
#define A_RATE 0x0f
#define A_DIVIDER 0x70
#define A_DIVIDER_32KHZ 0x20
#define A_DEFAULT 0x26

#define B_SET 0x80
#define B_PIE 0x40
#define B_AIE 0x20
#define B_UIE 0x10
#define B_BINARY 0x04
#define B_24H 0x02

#define C_IRQ 0x80 // the three flags below have the bits of their enables in register B
#define C_FLAGS (B_PIE | B_AIE | B_UIE)

#define D_VALID 0x80

#define HOUR_PM 0x80
#define ALARM_ANY 0xc0 // both top bits: any value matches

#define MS 1000
#define UIP_FROM_MS 999 // the chip raises UIP 244 us before it updates
#define DAY_SECONDS 86400
#define NS_PER_MS 1000000ull

// --- calendar (proleptic Gregorian, days since 1970-01-01) ---

struct date {
    int64_t year;
    uint8_t month, day; // from 1
    uint8_t hour, minute, second;
    uint8_t weekday; // 1 Sunday
};

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

// Years are counted from March, so that the leap day is the last of its year.
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = floor_div(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void date_from_days(int64_t days, struct date *date)
{
    int64_t z = days + 719468;
    int64_t era = floor_div(z, 146097);
    int64_t doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t shifted = (5 * doy + 2) / 153;

    date->day = (uint8_t)(doy - (153 * shifted + 2) / 5 + 1);
    date->month = (uint8_t)(shifted < 10 ? shifted + 3 : shifted - 9);
    date->year = yoe + era * 400 + (date->month <= 2);
    date->weekday = (uint8_t)((days % 7 + 7 + 4) % 7 + 1); // 1970-01-01 was a Thursday
}

static void date_from_seconds(int64_t seconds, struct date *date)
{
    int64_t days = floor_div(seconds, DAY_SECONDS);
    int64_t rest = seconds - days * DAY_SECONDS;

    date_from_days(days, date);
    date->hour = (uint8_t)(rest / 3600);
    date->minute = (uint8_t)(rest / 60 % 60);
    date->second = (uint8_t)(rest % 60);
}

// --- register encoding: BCD or binary, 12 or 24 hours ---

static uint8_t encode(const struct rtc *rtc, int64_t value)
{
    uint8_t v = (uint8_t)value;

    return rtc->cmos[REG_B] & B_BINARY ? v : (uint8_t)(v / 10 << 4 | v % 10);
}

static uint8_t decode(const struct rtc *rtc, uint8_t value)
{
    return rtc->cmos[REG_B] & B_BINARY ? value : (uint8_t)((value >> 4) * 10 + (value & 0xf));
}

static uint8_t encode_hour(const struct rtc *rtc, uint8_t hour)
{
    if (rtc->cmos[REG_B] & B_24H) {
        return encode(rtc, hour);
    }
    return encode(rtc, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static uint8_t decode_hour(const struct rtc *rtc, uint8_t value)
{
    if (rtc->cmos[REG_B] & B_24H) {
        return decode(rtc, value);
    }
    return (uint8_t)(decode(rtc, value & 0x7f) % 12 + (value & HOUR_PM ? 12 : 0));
}

// --- time ---

static int64_t guest_ms(const struct rtc *rtc)
{
    return plat_unix_ms() + rtc->offset_ms;
}

static bool is_time_register(uint8_t reg)
{
    return reg == REG_SECOND || reg == REG_MINUTE || reg == REG_HOUR ||
           (reg >= REG_WEEKDAY && reg <= REG_YEAR) || reg == REG_CENTURY;
}

static void time_to_registers(struct rtc *rtc)
{
    struct date date;

    date_from_seconds(floor_div(guest_ms(rtc), MS), &date);
    rtc->cmos[REG_SECOND] = encode(rtc, date.second);
    rtc->cmos[REG_MINUTE] = encode(rtc, date.minute);
    rtc->cmos[REG_HOUR] = encode_hour(rtc, date.hour);
    rtc->cmos[REG_WEEKDAY] = encode(rtc, date.weekday);
    rtc->cmos[REG_DAY] = encode(rtc, date.day);
    rtc->cmos[REG_MONTH] = encode(rtc, date.month);
    rtc->cmos[REG_YEAR] = encode(rtc, date.year % 100);
    rtc->cmos[REG_CENTURY] = encode(rtc, date.year / 100 % 100);
}

// Takes what the guest left in the registers; values out of range count on, as they would in the chip.
static void registers_to_time(struct rtc *rtc)
{
    int64_t year = decode(rtc, rtc->cmos[REG_CENTURY]) * 100 + decode(rtc, rtc->cmos[REG_YEAR]);
    int64_t days = days_from_date(year, decode(rtc, rtc->cmos[REG_MONTH]), decode(rtc, rtc->cmos[REG_DAY]));
    int64_t seconds = days * DAY_SECONDS + decode_hour(rtc, rtc->cmos[REG_HOUR]) * 3600 +
                      decode(rtc, rtc->cmos[REG_MINUTE]) * 60 + decode(rtc, rtc->cmos[REG_SECOND]);

    rtc->offset_ms = seconds * MS - plat_unix_ms();
    rtc->seen_second = seconds;
}

// --- flags and the interrupt ---

static bool alarm_field(uint8_t alarm, uint8_t now)
{
    return (alarm & ALARM_ANY) == ALARM_ANY || alarm == now;
}

static bool alarm_matches(const struct rtc *rtc, int64_t second)
{
    struct date date;

    date_from_seconds(second, &date);
    return alarm_field(rtc->cmos[REG_SECOND_ALARM], encode(rtc, date.second)) &&
           alarm_field(rtc->cmos[REG_MINUTE_ALARM], encode(rtc, date.minute)) &&
           alarm_field(rtc->cmos[REG_HOUR_ALARM], encode_hour(rtc, date.hour));
}

// Did the alarm go off in (from, to]? Nobody asks more than once a second while it is enabled; after a long
// silence only the last minutes are searched, which bounds the work.
static bool alarm_between(const struct rtc *rtc, int64_t from, int64_t to)
{
    for (int64_t second = MAX(from + 1, to - 120); second <= to; second++) {
        if (alarm_matches(rtc, second)) {
            return true;
        }
    }
    return false;
}

// Period of the periodic interrupt, datasheet table "Periodic Interrupt Rate" for the 32.768 kHz base.
static uint64_t period_ns(const struct rtc *rtc)
{
    uint8_t rate = rtc->cmos[REG_A] & A_RATE;

    if (rate == 0 || (rtc->cmos[REG_A] & A_DIVIDER) != A_DIVIDER_32KHZ) {
        return 0;
    }
    if (rate <= 2) {
        rate += 7; // 1 and 2 are the same as 8 and 9
    }
    return (1000000000ull << (rate - 1)) / 32768;
}

static void account_seconds(struct rtc *rtc)
{
    int64_t second = floor_div(guest_ms(rtc), MS);

    if ((rtc->cmos[REG_B] & B_SET) || second <= rtc->seen_second) {
        if (second < rtc->seen_second) {
            rtc->seen_second = second; // the node's clock was set back
        }
        return;
    }
    rtc->cmos[REG_C] |= B_UIE;
    if (alarm_between(rtc, rtc->seen_second, second)) {
        rtc->cmos[REG_C] |= B_AIE;
    }
    rtc->seen_second = second;
}

static void account_period(struct rtc *rtc)
{
    uint64_t now = plat_now_ns();
    uint64_t period = period_ns(rtc);

    if (period == 0 || now < rtc->periodic_ns) {
        return;
    }
    rtc->cmos[REG_C] |= B_PIE;
    // Ticks nobody waited for merge into one; the phase is kept.
    rtc->periodic_ns += ((now - rtc->periodic_ns) / period + 1) * period;
}

static void update_irq(struct rtc *rtc)
{
    bool on = rtc->cmos[REG_C] & rtc->cmos[REG_B] & C_FLAGS;

    rtc->cmos[REG_C] = (rtc->cmos[REG_C] & C_FLAGS) | (on ? C_IRQ : 0);
    irq_set(&rtc->irq, on);
}

void rtc_run(struct rtc *rtc)
{
    account_seconds(rtc);
    account_period(rtc);
    update_irq(rtc);
}

uint64_t rtc_deadline(const struct rtc *rtc)
{
    uint8_t b = rtc->cmos[REG_B];
    uint64_t deadline = 0;

    if ((b & B_PIE) && period_ns(rtc) != 0) {
        deadline = rtc->periodic_ns;
    }
    if ((b & (B_AIE | B_UIE)) && !(b & B_SET)) {
        int64_t ms = guest_ms(rtc);
        uint64_t to_next = (uint64_t)(MS - (ms - floor_div(ms, MS) * MS));
        uint64_t second = plat_now_ns() + to_next * NS_PER_MS;

        deadline = deadline == 0 ? second : MIN(deadline, second);
    }
    return deadline;
}

// --- registers ---

static uint8_t read_a(const struct rtc *rtc)
{
    int64_t ms = guest_ms(rtc);
    bool updating = !(rtc->cmos[REG_B] & B_SET) && ms - floor_div(ms, MS) * MS >= UIP_FROM_MS;

    return rtc->cmos[REG_A] | (updating ? A_UIP : 0);
}

static uint8_t read_c(struct rtc *rtc)
{
    uint8_t value;

    rtc_run(rtc);
    value = rtc->cmos[REG_C];
    rtc->cmos[REG_C] = 0; // reading clears
    update_irq(rtc);
    return value;
}

static uint8_t read_register(struct rtc *rtc, uint8_t reg)
{
    switch (reg) {
    case REG_A:
        return read_a(rtc);
    case REG_C:
        return read_c(rtc);
    case REG_D:
        return D_VALID;
    default:
        if (is_time_register(reg) && !(rtc->cmos[REG_B] & B_SET)) {
            time_to_registers(rtc);
        }
        return rtc->cmos[reg];
    }
}

static void write_a(struct rtc *rtc, uint8_t value)
{
    rtc->cmos[REG_A] = value & (uint8_t)~A_UIP;
    rtc->periodic_ns = plat_now_ns() + period_ns(rtc);
}

static void write_b(struct rtc *rtc, uint8_t value)
{
    uint8_t old = rtc->cmos[REG_B];

    rtc_run(rtc);
    if ((value & B_SET) && !(old & B_SET)) {
        time_to_registers(rtc); // frozen from here on
    }
    if ((value & B_PIE) && !(old & B_PIE)) {
        rtc->periodic_ns = plat_now_ns() + period_ns(rtc);
    }
    // Setting SET clears UIE (datasheet, register B).
    rtc->cmos[REG_B] = value & B_SET ? value & (uint8_t)~B_UIE : value;
    if (!(value & B_SET) && (old & B_SET)) {
        registers_to_time(rtc);
    }
    update_irq(rtc);
}

static void write_time(struct rtc *rtc, uint8_t reg, uint8_t value)
{
    bool frozen = rtc->cmos[REG_B] & B_SET;

    if (!frozen) {
        time_to_registers(rtc);
    }
    rtc->cmos[reg] = value;
    if (!frozen) {
        registers_to_time(rtc);
    }
}

static void write_register(struct rtc *rtc, uint8_t reg, uint8_t value)
{
    switch (reg) {
    case REG_A:
        write_a(rtc, value);
        break;
    case REG_B:
        write_b(rtc, value);
        break;
    case REG_C:
    case REG_D:
        break; // read-only
    default:
        if (is_time_register(reg)) {
            write_time(rtc, reg, value);
        } else {
            rtc->cmos[reg] = value;
        }
        break;
    }
}

static uint8_t rtc_read(void *dev, uint16_t offset)
{
    struct rtc *rtc = dev;

    *rtc->timers_moved = true;
    return offset == 0 ? 0xff : read_register(rtc, rtc->index); // the index port is write-only
}

static void rtc_write(void *dev, uint16_t offset, uint8_t value)
{
    struct rtc *rtc = dev;

    *rtc->timers_moved = true;
    if (offset == 0) {
        rtc->index = value & (RTC_CMOS_SIZE - 1); // bit 7 was the NMI mask
    } else {
        write_register(rtc, rtc->index, value);
    }
}

const struct port_ops rtc_ops = {.read = rtc_read, .write = rtc_write};

void rtc_init(struct rtc *rtc, struct irq_line irq, bool *timers_moved)
{
    *rtc = (struct rtc){.irq = irq, .timers_moved = timers_moved};
    rtc->cmos[REG_A] = A_DEFAULT;
    rtc->cmos[REG_B] = B_24H;
    rtc->seen_second = floor_div(guest_ms(rtc), MS);
}
