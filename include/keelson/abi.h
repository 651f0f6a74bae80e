// SPDX-License-Identifier: Apache-2.0
// The hypercall interface between the hypervisor and its partitions: structures and constants.
//
// Codes, statuses and argument sizes are generated from schema/hypercalls.json and
// schema/hv_status.json into <gen/hypercalls.h> and <gen/hv_status.h>; this header holds the structures
// that go with them. Sources: TLFS (current edition) "Hypercall Interface", "Data Types"; for intercept
// messages the layouts of the newer public headers (see docs/hypercalls.md). Everything at 0xF000 and
// above is Keelson's own and only the root partition may call it.
#ifndef KEELSON_ABI_H
#define KEELSON_ABI_H

#include <gen/hv_status.h>
#include <gen/hypercalls.h>
#include <keelson/bootinfo.h>
#include <keelson/types.h>

// --- Hypercall input and result values (TLFS "Hypercall Inputs", "Hypercall Outputs") ---
#define HVCALL_FAST BIT(16)
#define HVCALL_REP_COUNT(n) ((uint64_t)(n) << 32)
#define HVCALL_REP_START(n) ((uint64_t)(n) << 48)
#define HVCALL_RESULT_STATUS(r) ((uint16_t)(r))
#define HVCALL_RESULT_REPS(r) ((uint32_t)((r) >> 32) & 0xfff)

#define HV_PARTITION_ID_INVALID 0ull
#define HV_PARTITION_ID_SELF (~0ull)
#define HV_VP_INDEX_ANY 0xffffffffu
#define HV_VP_INDEX_SELF 0xfffffffeu
#define HV_MAX_VPS_PER_PARTITION 64u

// --- Registers (TLFS HV_REGISTER_NAME) ---
enum hv_register_name {
    HV_REG_EXPLICIT_SUSPEND = 0x00000000,
    HV_REG_INTERCEPT_SUSPEND = 0x00000001,
    HV_REG_PENDING_INTERRUPTION = 0x00010002,
    HV_REG_INTERRUPT_STATE = 0x00010003,
    HV_REG_RAX = 0x00020000, // RAX RCX RDX RBX RSP RBP RSI RDI R8..R15
    HV_REG_RCX,
    HV_REG_RDX,
    HV_REG_RBX,
    HV_REG_RSP,
    HV_REG_RBP,
    HV_REG_RSI,
    HV_REG_RDI,
    HV_REG_R8,
    HV_REG_R15 = 0x0002000f,
    HV_REG_RIP = 0x00020010,
    HV_REG_RFLAGS = 0x00020011,
    HV_REG_CR0 = 0x00040000,
    HV_REG_CR2,
    HV_REG_CR3,
    HV_REG_CR4,
    HV_REG_CR8,
    HV_REG_XFEM, // XCR0
    HV_REG_DR0 = 0x00050000,
    HV_REG_DR1,
    HV_REG_DR2,
    HV_REG_DR3,
    HV_REG_DR6,
    HV_REG_DR7,
    HV_REG_ES = 0x00060000,
    HV_REG_CS,
    HV_REG_SS,
    HV_REG_DS,
    HV_REG_FS,
    HV_REG_GS,
    HV_REG_LDTR,
    HV_REG_TR,
    HV_REG_IDTR = 0x00070000,
    HV_REG_GDTR,
    HV_REG_TSC = 0x00080000,
    HV_REG_EFER,
    HV_REG_KERNEL_GS_BASE,
    HV_REG_APIC_BASE,
    HV_REG_PAT,
    HV_REG_SYSENTER_CS,
    HV_REG_SYSENTER_EIP,
    HV_REG_SYSENTER_ESP,
    HV_REG_STAR,
    HV_REG_LSTAR,
    HV_REG_CSTAR,
    HV_REG_SFMASK,
    HV_REG_INITIAL_APIC_ID,
    HV_REG_TSC_AUX = 0x0008007b,
    HV_REG_TSC_DEADLINE = 0x00080095,
    HV_REG_TSC_ADJUST = 0x00080096,
    HV_REG_VP_RUNTIME = 0x00090000,
    HV_REG_GUEST_OS_ID = 0x00090002,
    HV_REG_VP_INDEX = 0x00090003,
    HV_REG_TIME_REF_COUNT = 0x00090004,
    HV_REG_X_INTERCEPT_COOKIE = 0x00f00000, // private: returned by HvCallXInterceptWait
};

struct hv_segment { // HV_X64_SEGMENT_REGISTER
    uint64_t base;
    uint32_t limit;
    uint16_t selector;
    uint16_t attributes; // type 3:0, s 4, dpl 6:5, p 7, avl 12, l 13, db 14, g 15
};

struct hv_table { // HV_X64_TABLE_REGISTER
    uint16_t pad[3];
    uint16_t limit;
    uint64_t base;
};

union hv_register_value {
    uint64_t u64;
    uint32_t u32;
    uint64_t u128[2];
    struct hv_segment segment;
    struct hv_table table;
};

struct hv_register_assoc { // one element of HvCallSetVpRegisters
    uint32_t name;
    uint32_t pad[3];
    union hv_register_value value;
};

// HV_REG_PENDING_INTERRUPTION
#define HV_PENDING_VALID BIT(0)
#define HV_PENDING_TYPE(t) ((uint64_t)(t) << 1) // 0 interrupt, 2 NMI, 3 exception, 4 software
#define HV_PENDING_ERROR_VALID BIT(4)
#define HV_PENDING_VECTOR(v) ((uint64_t)(v) << 16)
#define HV_PENDING_ERROR(e) ((uint64_t)(e) << 32)

// --- Hypercall inputs: fixed parts, in code order ---
struct hv_create_partition_in {
    uint64_t flags; // HV_PARTITION_CREATION_FLAGS: none supported, must be 0
    uint64_t proximity;
    uint32_t compatibility_version;
    uint32_t pad;
    uint64_t disabled_features[2];
    uint64_t disabled_xsave;
    uint64_t reserved;
};
struct hv_partition_property_in {
    uint64_t partition;
    uint32_t code;
    uint32_t pad;
    uint64_t value; // set only
};
enum hv_partition_property {
    HV_PROP_PRIVILEGE_FLAGS = 0x00010000,
    HV_PROP_SUSPEND = 0x00020000,
    HV_PROP_CPU_RESERVE = 0x00020001, // 0..0x10000 of a processor per VP
    HV_PROP_CPU_CAP = 0x00020002,     // 0..0x10000, 0x10000 = none
    HV_PROP_CPU_WEIGHT = 0x00020003,  // 1..10000, default 100
    HV_PROP_TIME_FREEZE = 0x00030003,
    HV_PROP_REFERENCE_TIME = 0x00030005, // 100 ns units
    HV_PROP_PHYS_ADDR_WIDTH = 0x00060006,
    HV_PROP_PROCESSOR_CLOCK_FREQUENCY = 0x00060009,
    HV_PROP_GUEST_OS_ID = 0x00070000,
};
struct hv_get_next_child_in {
    uint64_t parent;
    uint64_t previous;
};
struct hv_deposit_in { // rep: uint64_t gpa_page
    uint64_t partition;
};
struct hv_withdraw_in { // rep out: uint64_t gpa_page
    uint64_t partition;
    uint64_t proximity;
};
struct hv_memory_balance_out {
    uint64_t available;
    uint64_t in_use;
};
struct hv_map_gpa_in { // rep: uint64_t source gpa_page (of the caller)
    uint64_t partition;
    uint64_t gpa_page; // target, advances with each repetition
    uint32_t flags;
    uint32_t pad;
};
struct hv_unmap_gpa_in { // rep without elements: page i is gpa_page + i
    uint64_t partition;
    uint64_t gpa_page;
    uint32_t flags;
    uint32_t pad;
};
#define HV_MAP_READ 0x1u
#define HV_MAP_WRITE 0x2u
#define HV_MAP_KEXEC 0x4u
#define HV_MAP_UEXEC 0x8u
#define HV_MAP_RWX 0xfu
#define HV_MAP_NOT_CACHED 0x00200000u
#define HV_MAP_X_HUGE_PAGE 0x40000000u // private: each element is 1 GiB
#define HV_MAP_LARGE_PAGE 0x80000000u  // each element is 2 MiB
struct hv_install_intercept_in {
    uint64_t partition;
    uint32_t access; // 1 read, 2 write, 4 execute; 0 removes
    uint32_t type;   // enum hv_intercept_type
    uint64_t parameter;
};
enum hv_intercept_type {
    HV_INTERCEPT_IO_PORT = 0,
    HV_INTERCEPT_MSR = 1,
    HV_INTERCEPT_CPUID = 2,
    HV_INTERCEPT_EXCEPTION = 3,
};
struct hv_create_vp_in {
    uint64_t partition;
    uint32_t vp_index;
    uint8_t pad[3];
    uint8_t subnode_type;
    uint64_t subnode_id;
    uint64_t proximity;
    uint64_t flags;
};
struct hv_vp_in { // DeleteVp and others with just a target
    uint64_t partition;
    uint32_t vp_index;
    uint32_t pad;
};
struct hv_vp_registers_in { // Get: rep in uint32_t names, rep out hv_register_value; Set: hv_register_assoc
    uint64_t partition;
    uint32_t vp_index;
    uint8_t vtl;
    uint8_t pad[3];
};
struct hv_translate_gva_in {
    uint64_t partition;
    uint32_t vp_index;
    uint32_t pad;
    uint64_t control; // 1 read, 2 write, 4 execute validation; 8 privilege exempt
    uint64_t gva_page;
};
struct hv_translate_gva_out {
    uint32_t result; // 0 success, 1 not present, 2 privilege violation, 3 invalid page table flags,
    uint32_t flags;  // 4 gpa unmapped, 5 gpa no read, 6 gpa no write, 7 gpa illegal overlay
    uint64_t gpa_page;
};
struct hv_rw_gpa_in { // ReadGpa; WriteGpa has the data after it
    uint64_t partition;
    uint32_t vp_index;
    uint32_t byte_count; // 1..16
    uint64_t gpa;
    uint64_t control;
    uint8_t data[16];
};
struct hv_rw_gpa_out {
    uint64_t access_result; // 0 success; else as translate results
    uint8_t data[16];
};
struct hv_assert_interrupt_in {
    uint64_t partition;
    uint32_t control;       // bits 31:0 type: 0 fixed, 1 lowest priority, 4 NMI, 5 INIT, 6 SIPI
    uint32_t control_flags; // bit 0 level, bit 1 logical destination mode
    uint64_t destination;   // APIC id, or logical destination
    uint32_t vector;
    uint8_t vtl;
    uint8_t pad[3];
};
struct hv_vp_state_page_in {
    uint64_t partition;
    uint32_t vp_index;
    uint16_t type; // 0 registers, 1 intercept message
    uint8_t vtl;
    uint8_t flags; // must be 0: the hypervisor chooses the place
    uint64_t requested;
};
enum hv_vp_state_page { HV_STATE_PAGE_REGISTERS = 0, HV_STATE_PAGE_INTERCEPT_MESSAGE = 1 };

// Register page of a VP, HvVpStatePageRegisters. The hypervisor keeps the general registers of a VP here
// all the time; rip, rflags and rsp are valid while the VP is suspended by an intercept. The rest is
// reached with HvCallGetVpRegisters. The parent sets dirty bits before it completes an intercept.
struct hv_register_page {
    uint16_t version; // 1
    uint8_t is_valid;
    uint8_t pad;
    uint32_t dirty;
    uint64_t gpr[16]; // rax rcx rdx rbx rsp rbp rsi rdi r8..r15
    uint64_t rip;
    uint64_t rflags;
};
#define HV_DIRTY_RSP 0x1u // "general": all other general registers take effect without it
#define HV_DIRTY_RIP 0x2u
#define HV_DIRTY_RFLAGS 0x10u

// --- Messages (TLFS HV_MESSAGE and "Intercepts") ---
enum hv_message_type {
    HV_MSG_NONE = 0,
    HV_MSG_UNMAPPED_GPA = 0x80000000,
    HV_MSG_GPA_INTERCEPT = 0x80000001, // rights violation on a mapped page
    HV_MSG_TIMER_EXPIRED = 0x80000010,
    HV_MSG_INVALID_VP_REGISTER_VALUE = 0x80000020, // VM entry refused the state
    HV_MSG_UNRECOVERABLE_EXCEPTION = 0x80000021,   // triple fault
    HV_MSG_UNSUPPORTED_FEATURE = 0x80000022,       // exit without a handler
    HV_MSG_IO_PORT = 0x80010000,
    HV_MSG_MSR = 0x80010001,
    HV_MSG_CPUID = 0x80010002,
    HV_MSG_EXCEPTION = 0x80010003,
    HV_MSG_APIC_EOI = 0x80010004,
    HV_MSG_HALT = 0x80010007,
};
struct hv_message_header {
    uint32_t type;
    uint8_t payload_size;
    uint8_t flags; // bit 0 pending
    uint16_t reserved;
    uint64_t sender; // partition id or port id
};
struct hv_intercept_header {
    uint32_t vp_index;
    uint8_t insn_length;      // low 4 bits; 0 unknown. high 4 bits: CR8
    uint8_t access;           // 0 read, 1 write, 2 execute
    uint16_t execution_state; // bits 1:0 CPL, 2 CR0.PE, 3 CR0.AM, 4 EFER.LMA, 5 debug, 6 pending
    struct hv_segment cs;
    uint64_t rip;
    uint64_t rflags;
};
struct hv_memory_intercept {
    struct hv_intercept_header hdr;
    uint32_t cache_type;
    uint8_t insn_byte_count;
    uint8_t info; // bit 0 gva valid
    uint8_t tpr;
    uint8_t reserved;
    uint64_t gva;
    uint64_t gpa;
    uint8_t insn_bytes[16];
};
struct hv_io_intercept {
    struct hv_intercept_header hdr;
    uint16_t port;
    uint8_t info; // bits 2:0 size 1/2/4, 3 string, 4 rep
    uint8_t insn_byte_count;
    uint32_t reserved;
    uint64_t rax;
    uint8_t insn_bytes[16]; // from here: string forms only
    struct hv_segment ds;
    struct hv_segment es;
    uint64_t rcx, rsi, rdi;
};
struct hv_msr_intercept {
    struct hv_intercept_header hdr;
    uint32_t msr;
    uint32_t reserved;
    uint64_t rdx, rax;
};
struct hv_cpuid_intercept {
    struct hv_intercept_header hdr;
    uint64_t rax, rcx, rdx, rbx;
    uint64_t default_rax, default_rcx, default_rdx, default_rbx;
};
struct hv_exception_intercept {
    struct hv_intercept_header hdr;
    uint16_t vector;
    uint8_t info; // bit 0 error code valid
    uint8_t insn_byte_count;
    uint32_t error_code;
    uint64_t parameter;
    uint64_t reserved;
    uint8_t insn_bytes[16];
};
struct hv_unsupported_intercept {
    uint32_t vp_index;
    uint32_t feature;   // 1 intercept
    uint64_t parameter; // raw exit code
};
struct hv_apic_eoi {
    uint32_t vp_index;
    uint32_t vector;
};
struct hv_message {
    struct hv_message_header header;
    union {
        uint64_t payload[30];
        struct hv_intercept_header intercept;
        struct hv_memory_intercept memory;
        struct hv_io_intercept io;
        struct hv_msr_intercept msr;
        struct hv_cpuid_intercept cpuid;
        struct hv_exception_intercept exception;
        struct hv_unsupported_intercept unsupported;
        struct hv_apic_eoi eoi;
    };
};

// --- Keelson's own calls (0xF000..0xF0FF, root partition only) ---
// HvCallXInterceptWait, fast form: completes an intercept and waits for the next one, in one trip.
// RDX: partition whose VP is completed (0: none); R8: vp_index | flags << 32.
// Result: RDX = cookie of a VP whose intercept message page is filled (0: none, because an interrupt is
// pending for the caller or HV_XWAIT_BLOCK was not given). The cookie is HV_REG_X_INTERCEPT_COOKIE. A VP
// is handed out once; it stays suspended until it is completed (or HV_REG_INTERCEPT_SUSPEND is cleared).
// The call returns when an interrupt is pending even with RFLAGS.IF clear.
#define HV_XWAIT_ADVANCE BIT(0) // skip the intercepted instruction
#define HV_XWAIT_DIRTY BIT(1)   // take rip/rsp/rflags by the register page's dirty bits
#define HV_XWAIT_BLOCK BIT(2)   // wait

struct hv_x_map_interrupt_in { // HvCallXMapInterrupt
    uint32_t source;   // 0 IOAPIC input (level, active low), 1 same, edge active high, 2 MSI, 3 console
    uint32_t gsi;      // IOAPIC input
    uint32_t vp_index; // root VP that gets it
    uint32_t vector;   // on that VP, 0x20..0xff; 0 unmaps
};
struct hv_x_map_interrupt_out { // MSI only
    uint64_t msi_address;
    uint32_t msi_data;
    uint32_t pad;
};
// A level input is masked when it is delivered and unmasked at the root VP's EOI of the vector.

struct hv_x_doorbell_in { // HvCallXSetDoorbell
    uint64_t partition;
    uint64_t gpa; // a write of at most 4 bytes here only rings; 0: none
    uint64_t
        cookie; // for HvCallXTakeDoorbells; cookie, VP and vector of a partition are those of its first call
    uint32_t index;    // 0..63
    uint32_t vp_index; // root VP that is interrupted
    uint32_t vector;   // on that VP, 0x20..0xff
    uint32_t pad;
};
struct hv_x_doorbells_out { // HvCallXTakeDoorbells
    uint64_t cookie;        // 0: no partition has any
    uint64_t rung;          // a bit an index, taken back with this call; may be 0
};

// Both answer with such a header: how many bytes were taken, or follow. A write takes what fits into the UART's
// queue now; a line of the log is taken in any case.
struct hv_x_console_in { // HvCallXConsoleWrite: bytes follow; HvCallXConsoleRead: none follow
    uint32_t length;
    uint32_t flags; // write: HV_X_CONSOLE_LOG | level << 8 for one line of the log (no newline)
};
#define HV_X_CONSOLE_LOG 1u
#define HV_X_CONSOLE_MAX 2048u
struct hv_x_log_in {   // HvCallXReadLog
    uint64_t sequence; // first byte wanted
};
struct hv_x_log_out {
    uint64_t sequence; // of the first byte returned
    uint32_t length;
    uint32_t pad;
    uint8_t text[2032];
};
// --- trace (HvCallXTrace) ---
enum hv_x_trace_action { HV_X_TRACE_STOP = 0, HV_X_TRACE_START = 1, HV_X_TRACE_READ = 2 };
struct hv_x_trace_in {
    uint32_t action;
    uint32_t cpu;      // read: whose ring
    uint64_t sequence; // read: first record wanted
};
enum hv_x_trace_type {
    HV_X_TRACE_EXIT = 1,       // reason: enum vp_exit_reason; a: RIP; b: first qualification
    HV_X_TRACE_SWITCH_IN = 2,  // a: ticks it has run; b: ticks it has waited
    HV_X_TRACE_SWITCH_OUT = 3, // reason: why it is blocked, 0: it could go on; a: virtual runtime
};
struct hv_x_trace_record {
    uint64_t tsc;
    uint8_t type; // enum hv_x_trace_type
    uint8_t cpu;
    uint16_t partition; // index
    uint16_t vp;
    uint16_t reason;
    uint64_t a, b;
};
struct hv_x_trace_out {
    uint64_t sequence; // of the first record
    uint32_t count;    // 0: there is none yet
    uint32_t pad;
    struct hv_x_trace_record record[63];
};

struct hv_x_system_in { // HvCallXSystemControl
    uint32_t action;    // enum hv_x_system_action
    uint32_t value;
};
enum hv_x_system_action {
    HV_X_POWER_OFF = 1,
    HV_X_REBOOT = 2,
    HV_X_SET_LOG_LEVEL = 3,
    HV_X_WATCHDOG = 4, // value: seconds until the node is crashed unless called again; 0 stops
    HV_X_DUMP = 5,     // log a dump of the VP named by value = partition << 8 | vp
};
struct hv_x_counters_in { // HvCallXGetCounters
    uint64_t partition;
    uint32_t vp_index; // HV_VP_INDEX_ANY: the partition's sums
    uint32_t pad;
};
// Counters of a VP (or summed over a partition); index into hv_x_counters_out.value.
enum hv_x_counter {
    HV_CTR_RUN_TSC = 0, // ticks spent running
    HV_CTR_STATE,       // VP: 0 ready/running, 1 halted, 2 explicit suspend, 3 intercept suspend, 4 wait SIPI
    HV_CTR_ENTRIES,
    HV_CTR_INTERRUPTS,
    HV_CTR_HYPERCALLS,
    HV_CTR_SWITCHES,
    HV_CTR_WAIT_TSC,   // ticks in which it could have run and another VP did
    HV_CTR_EXIT0 = 16, // + enum vp_exit_reason
    HV_CTR_COUNT = 80,
};
struct hv_x_counters_out {
    uint64_t value[HV_CTR_COUNT];
};
struct hv_x_info_out {  // HvCallXGetInfo
    uint32_t cpu_count; // processors that run VPs
    uint32_t partition_count;
    uint64_t tsc_hz;
    uint64_t total_pages;
    uint64_t hv_pages; // owned by the hypervisor itself
    uint64_t deposited_pages;
    uint64_t mapped_pages; // mapped into child partitions
    uint64_t idle_tsc;
    uint64_t log_next; // sequence of the next log byte
    uint32_t log_level;
    uint32_t flags; // bit 0 APIC virtualization in use
};

// --- What the root partition's VPs find at their entry (see bootinfo.h) ---
#define MGMT_BOOT_MAGIC 0x31544d474d4c454bull
struct mgmt_boot_info {
    uint64_t magic;
    uint64_t tsc_hz;
    uint32_t vp_count;  // VPs of the root partition: 0 = data plane, 1 = control plane
    uint32_t cpu_count; // processors that run VPs
    char engine[8];     // "vmx" or "svm"
    char version[24];   // of the hypervisor
    char cpu_brand[48];
    uint64_t hypercall_page;       // virtual address of the hypercall page
    uint64_t mgmt_free_pages_base; // GPA: memory left in the management range after image and tables
    uint64_t mgmt_free_pages_end;
    struct boot_info boot; // ranges as the root partition sees them: no BOOT_RANGE_HV inside RAM
};

_Static_assert(sizeof(struct hv_message) == 256, "HV_MESSAGE");
_Static_assert(sizeof(struct hv_segment) == 16, "HV_X64_SEGMENT_REGISTER");
_Static_assert(sizeof(struct hv_register_assoc) == 32, "HvCallSetVpRegisters element");
_Static_assert(sizeof(struct hv_intercept_header) == 40, "intercept header");
_Static_assert(sizeof(struct hv_memory_intercept) == 80, "memory intercept");
_Static_assert(offsetof(struct hv_io_intercept, rax) == 48, "I/O intercept");
_Static_assert(sizeof(struct hv_create_vp_in) == 40, "HvCallCreateVp");
_Static_assert(sizeof(struct hv_x_doorbell_in) == 40, "HvCallXSetDoorbell");
_Static_assert(sizeof(struct hv_assert_interrupt_in) == 32, "HvCallAssertVirtualInterrupt");
_Static_assert(offsetof(struct hv_register_page, rip) == 136, "register page");

#endif
