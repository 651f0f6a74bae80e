// SPDX-License-Identifier: Apache-2.0
// The test root partition: guests being tested, the table of tests, and what tests have at hand.
#ifndef TESTS_GUEST_ROOT_H
#define TESTS_GUEST_ROOT_H

#include "mgmt/hvif/hvif.h"
#include "mgmt/rt/cpu.h"
#include "tests/guest/abi.h"

#define DEPOSIT_PAGES 128
#define MAX_VPS 8
#define SLOTS 3 // guests at a time
#define STOPPED 0xffffffffu
#define ANY_END 0xffffffffu
#define TEST_MS 8000 // by the clock of the machine; then a test has failed
#define CHAOS_MS 400 // for a guest that may end in any way, waiting for ever for nothing included

struct root_test;

struct guest {
    const struct root_test *test;
    unsigned slot;
    uint64_t partition;
    uint32_t vps;
    uint8_t *ram;
    gpa_t ram_gpa;
    struct {
        struct hv_register_page *regs;
        const struct hv_message *msg;
    } vp[MAX_VPS];
    bool done;
    uint32_t failed_line;           // 0: none
    uint32_t last_message, last_vp; // of the last intercept
    uint64_t last_gpa;              // of the last memory intercept
    uint8_t last_access;
    uint32_t echo;
    uint32_t eois;
    uint32_t steps; // for .serve
    uint64_t device[8];
    uint8_t text[64]; // string output
    uint32_t text_len;
    char line[80]; // of PORT_CHAR, so far
    uint32_t line_len;
};

// Row i runs the kernel's test i (tests/guest/kernel/table.c); both tables come from tests/guest/tests.def.
struct root_test {
    const char *name;
    uint32_t vps;                   // 0: one
    uint32_t ends_with;             // message type of the last intercept: normally HV_MSG_IO_PORT
    uint32_t seeds;                 // so many runs, each with another seed; 0: one
    bool may_time_out;              // as good an end as any
    bool (*setup)(struct guest *g); // before the start
    bool (*serve)(struct guest *g, uint32_t vp, uint32_t *flags); // true: the intercept is dealt with
    bool (*after)(struct guest *g);
    bool (*run)(void); // the whole test, for ROOT_TEST
};
extern const struct root_test root_tests[];
unsigned test_number(const char *name);
uint32_t first_seed(void); // of tests with random contents; guest-seed=N in keelson.cfg

// --- guest.c ---
bool guest_init(gpa_t (*memory)(unsigned slot)); // once: where slot n's memory is
// Builds a partition with memory, VPs and the kernel, ready to run test `number`; tears down what it has built.
bool guest_build(struct guest *g, unsigned slot, unsigned number, uint32_t vps, uint32_t seed);
bool guest_tear_down(struct guest *g);
bool guest_start(struct guest *g);
struct guest_modes *guest_modes(struct guest *g);
// Serves the intercepts of all guests until all are done or so many milliseconds have passed; true: all done.
bool serve_guests(uint64_t ms);
bool set_register(struct guest *g, uint32_t vp, uint32_t name, uint64_t value);
uint64_t get_register(struct guest *g, uint32_t vp, uint32_t name);
bool set_segment(struct guest *g, uint32_t name, uint16_t selector, uint64_t base, uint32_t limit,
                 uint16_t attributes);
bool must(hv_status_t status, const char *what);
bool is_plain_access(const struct hv_memory_intercept *m); // one that the root knows to emulate
struct guest_args *guest_args(struct guest *g);

// --- coverage.c ---
void cover_exits(uint64_t partition);
void cover_call(uint16_t code, hv_status_t status);
void cover_refused(void); // all calls have been refused to a guest
void cover_print(void);

// --- call.c: hypercalls as they are, for the wrong ones too ---
uint64_t raw_call(uint64_t input, uint64_t rdx, uint64_t r8); // result value; counted by coverage
void *call_in(void);
void *call_out(void);
uint64_t call_in_gpa(void);
uint64_t call_out_gpa(void);
// One call with `in` as its input page; complains and returns false when the status is another one.
bool expect(unsigned line, hv_status_t status, uint64_t input, const void *in, size_t len);
#define EXPECT(status, input, ...)                                                                           \
    ({                                                                                                       \
        __typeof__(__VA_ARGS__) in_ = __VA_ARGS__;                                                           \
        expect(__LINE__, (status), (input), &in_, sizeof(in_));                                              \
    })
#define REPS(n) HVCALL_REP_COUNT(n)

// --- main.c ---
extern const struct mgmt_boot_info *boot;
gpa_t spare_memory(void); // 2 MiB of the root's own
void put(const char *text);
void put_number(uint64_t n);
void say_seed(const char *name, uint32_t seed);                 // so that a failing run can be repeated
bool complain(unsigned line, const char *what, uint64_t value); // prints, returns false
#define WANT(cond) ((cond) || complain(__LINE__, #cond, 0))

extern const uint8_t guest_kernel[], guest_kernel_end[];

#endif
