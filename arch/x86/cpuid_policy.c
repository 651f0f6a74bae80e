// SPDX-License-Identifier: Apache-2.0
// CPUID as guests see it: tables built once at boot, completed for the VP at each exit.
//
// The rows are in cpuid_table.h. A lookup is an index into one of three arrays; only leaves with something
// that changes cost a call more.
#include "arch/x86/cpuid_table.h"
#include "arch/x86/host.h"
#include "arch/x86/policy.h"
#include "arch/x86/x86.h"

#define BASIC_MAX_INTEL 0x16u
#define BASIC_MAX_OTHER 0x0du
#define EXT_FIRST 0x80000000u
#define EXT_MAX 0x80000021u
#define HV_FIRST 0x40000000u
#define HV_MAX 0x40000006u
#define VENDOR_FIRST 0x40000100u
#define MAX_CACHES 6
#define MAX_COMPONENTS 20

typedef void fixup_fn(const struct vp *vp, uint32_t subleaf, struct cpuid_result *out);

struct slot {
    struct cpuid_result value;
    fixup_fn *fixup; // NULL: the value is final
};

static struct slot basic[BASIC_MAX_INTEL + 1];
static struct slot extended[EXT_MAX - EXT_FIRST + 1];
static struct slot hypervisor[HV_MAX - HV_FIRST + 1];
static struct slot vendor[2];
static struct cpuid_result leaf7_1, cache_leaf[2][MAX_CACHES], component[MAX_COMPONENTS];

static struct slot *slot_of(uint32_t leaf)
{
    if (leaf < ARRAY_LEN(basic)) {
        return &basic[leaf];
    }
    if (leaf - EXT_FIRST < ARRAY_LEN(extended)) {
        return &extended[leaf - EXT_FIRST];
    }
    if (leaf - HV_FIRST < ARRAY_LEN(hypervisor)) {
        return &hypervisor[leaf - HV_FIRST];
    }
    return leaf - VENDOR_FIRST < ARRAY_LEN(vendor) ? &vendor[leaf - VENDOR_FIRST] : NULL;
}

void cpuid_policy(const struct vp *vp, uint32_t leaf, uint32_t subleaf, struct cpuid_result *out)
{
    const struct slot *slot = slot_of(leaf);

    if (slot == NULL) {
        *out = (struct cpuid_result){0};
        return;
    }
    *out = slot->value;
    if (slot->fixup != NULL) {
        slot->fixup(vp, subleaf, out);
    }
}

// --- leaves that depend on the VP ---

// APIC id bits that tell the VPs of a partition apart: ids are indices.
static unsigned id_bits(const struct vp *vp)
{
    uint32_t count = MAX(vp->partition->vp_count, 1u);

    return count == 1 ? 0 : 32 - (unsigned)__builtin_clz(count - 1);
}

static uint64_t guest_cr4(const struct vp *vp)
{
    return vp_reg((struct vp *)vp, HV_REG_CR4); // reads the back end's state, changes nothing
}

static void fix_features(const struct vp *vp, uint32_t subleaf, struct cpuid_result *out)
{
    unsigned bits = id_bits(vp);

    (void)subleaf;
    out->ebx |= (vp->apic_id & 0xff) << 24 | 1u << bits << 16;
    out->edx |= bits != 0 ? B(28) : 0; // HTT: the count in EBX is valid
    out->edx |= vp->apic.base_msr & BIT(11) ? B(9) : 0;
    if ((out->ecx & B(26)) != 0 && (guest_cr4(vp) & CR4_OSXSAVE) != 0) {
        out->ecx |= B(27);
    }
}

// Leaf 4 and AMD's 0x8000001D have the same form as far as we change it.
static void fix_caches(const struct vp *vp, uint32_t subleaf, struct cpuid_result *out)
{
    bool amd = out->eax != 0; // the slot's own value says which of the two it is
    unsigned bits = id_bits(vp);
    uint32_t level;

    *out = (struct cpuid_result){0};
    if (subleaf >= MAX_CACHES) {
        return;
    }
    *out = cache_leaf[amd][subleaf];
    level = out->eax >> 5 & 7;
    if ((out->eax & 0x1f) == 0) {
        return;
    }
    out->eax &= 0x3fff;
    out->eax |= level >= 3 ? ((1u << bits) - 1) << 14 : 0;
    out->eax |= amd ? 0 : ((1u << bits) - 1) << 26;
}

static void fix_subleaves(const struct vp *vp, uint32_t subleaf, struct cpuid_result *out)
{
    (void)vp;
    if (subleaf != 0) {
        *out = subleaf == 1 ? leaf7_1 : (struct cpuid_result){0};
    }
}

// Level 0: threads of a core, one. Level 1: cores of the package (SDM 2A "CPUID" leaf 0BH).
static void fix_topology(const struct vp *vp, uint32_t subleaf, struct cpuid_result *out)
{
    unsigned bits = id_bits(vp);

    *out = (struct cpuid_result){.ecx = subleaf & 0xff, .edx = vp->apic_id};
    if (subleaf == 0) {
        out->ebx = 1;
        out->ecx |= 1 << 8;
    } else if (subleaf == 1) {
        out->eax = bits;
        out->ebx = vp->partition->vp_count & 0xffff;
        out->ecx |= 2 << 8;
    }
}

// Bytes that XSAVE's standard form needs for the components in `mask`.
static uint32_t standard_size(uint64_t mask)
{
    uint32_t size = 576; // legacy region and header

    for (unsigned i = 2; i < MAX_COMPONENTS; i++) {
        if ((mask >> i & 1) != 0) {
            size = MAX(size, component[i].ebx + component[i].eax);
        }
    }
    return size;
}

static uint32_t compacted_size(uint64_t mask)
{
    uint32_t size = 576;

    for (unsigned i = 2; i < MAX_COMPONENTS; i++) {
        if ((mask >> i & 1) != 0) {
            size = (component[i].ecx & 2) != 0 ? ALIGN_UP(size, 64u) : size;
            size += component[i].eax;
        }
    }
    return size;
}

static void fix_xsave(const struct vp *vp, uint32_t subleaf, struct cpuid_result *out)
{
    if (subleaf == 0) {
        if (host_xcr0 != 0) {
            out->ebx = standard_size(vp->xcr0);
        }
        return;
    }
    *out = subleaf < MAX_COMPONENTS ? component[subleaf] : (struct cpuid_result){0};
    if (subleaf == 1 && (out->eax & B(1)) != 0) {
        out->ebx = compacted_size(vp->xcr0);
    }
}

static void fix_ext_features(const struct vp *vp, uint32_t subleaf, struct cpuid_result *out)
{
    (void)subleaf;
    out->ecx |= (out->ecx & B(22)) != 0 && id_bits(vp) != 0 ? B(1) : 0;
    out->edx |= (out->edx & B(8)) != 0 && (vp->apic.base_msr & BIT(11)) != 0 ? B(9) : 0;
}

static void fix_addresses(const struct vp *vp, uint32_t subleaf, struct cpuid_result *out)
{
    (void)subleaf;
    out->eax = 48u << 8 | vp->partition->gpa_width;
    if ((extended[1].value.ecx & B(22)) != 0) { // AMD
        out->ecx = id_bits(vp) << 12 | ((vp->partition->vp_count - 1) & 0xff);
    }
}

static void fix_amd_topology(const struct vp *vp, uint32_t subleaf, struct cpuid_result *out)
{
    (void)subleaf;
    if ((extended[1].value.ecx & B(22)) != 0) {
        *out = (struct cpuid_result){.eax = vp->apic_id, .ebx = vp->apic_id & 0xff};
    }
}

static void fix_privileges(const struct vp *vp, uint32_t subleaf, struct cpuid_result *out)
{
    (void)subleaf;
    out->eax = (uint32_t)vp->partition->privileges;
    out->ebx = (uint32_t)(vp->partition->privileges >> 32);
}

static void fix_hints(const struct vp *vp, uint32_t subleaf, struct cpuid_result *out)
{
    (void)subleaf;
    out->ecx = vp->partition->gpa_width;
}

// --- building the tables ---

enum { REG_EAX, REG_EBX, REG_ECX, REG_EDX };

static uint32_t *reg_of(struct cpuid_result *r, unsigned reg)
{
    uint32_t *const regs[4] = {&r->eax, &r->ebx, &r->ecx, &r->edx};

    return regs[reg];
}

struct allow_row {
    uint32_t leaf;
    uint8_t subleaf, reg, xcr0;
    uint32_t mask;
};

#define ALLOW_ROW(leaf_, subleaf_, reg_, xcr0_, mask_, what_) {leaf_, subleaf_, REG_##reg_, xcr0_, mask_},
static const struct allow_row allow_rows[] = {CPUID_ALLOW_TABLE(ALLOW_ROW)};

#define FORCE_ROW(leaf_, subleaf_, reg_, mask_, what_) {leaf_, subleaf_, REG_##reg_, 0, mask_},
static const struct allow_row force_rows[] = {CPUID_FORCE_TABLE(FORCE_ROW)};

#define PASS_ROW(leaf_, what_) leaf_,
static const uint32_t pass_rows[] = {CPUID_PASS_TABLE(PASS_ROW)};

static const struct {
    uint32_t leaf;
    fixup_fn *fixup;
} computed_rows[] = {
#define COMPUTED_ROW(leaf_, handler_, what_) {leaf_, fix_##handler_},
    CPUID_COMPUTED_TABLE(COMPUTED_ROW)};

static cpuid_reader *read_host;

static struct cpuid_result host_leaf(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_result r = {0}, top;

    read_host(leaf & EXT_FIRST, 0, &top);
    if (leaf <= top.eax) {
        read_host(leaf, subleaf, &r);
    }
    return r;
}

// The place where a (sub)leaf's table value is kept.
static struct cpuid_result *value_of(uint32_t leaf, unsigned subleaf)
{
    if (subleaf == 0) {
        return &slot_of(leaf)->value;
    }
    return leaf == 7 ? &leaf7_1 : &component[subleaf];
}

static void apply_allow_rows(void)
{
    for (size_t i = 0; i < ARRAY_LEN(allow_rows); i++) {
        const struct allow_row *row = &allow_rows[i];
        struct cpuid_result host = host_leaf(row->leaf, row->subleaf);

        if ((host_xcr0 & row->xcr0) == row->xcr0) {
            *reg_of(value_of(row->leaf, row->subleaf), row->reg) |= *reg_of(&host, row->reg) & row->mask;
        }
    }
}

static void apply_force_rows(void)
{
    for (size_t i = 0; i < ARRAY_LEN(force_rows); i++) {
        *reg_of(value_of(force_rows[i].leaf, force_rows[i].subleaf), force_rows[i].reg) |= force_rows[i].mask;
    }
}

static void copy_pass_rows(void)
{
    for (size_t i = 0; i < ARRAY_LEN(pass_rows); i++) {
        slot_of(pass_rows[i])->value = host_leaf(pass_rows[i], 0);
    }
}

static void set_fixups(void)
{
    for (size_t i = 0; i < ARRAY_LEN(computed_rows); i++) {
        slot_of(computed_rows[i].leaf)->fixup = computed_rows[i].fixup;
    }
}

static void build_caches(void)
{
    for (uint32_t i = 0; i < MAX_CACHES; i++) {
        cache_leaf[0][i] = host_leaf(0x4, i);
        cache_leaf[1][i] = host_leaf(0x8000001d, i);
    }
    slot_of(0x8000001d)->value.eax = 1; // a mark for fix_caches()
}

static void build_xsave(void)
{
    struct slot *slot = slot_of(0xd);

    if (host_xcr0 == 0) {
        return;
    }
    for (uint32_t i = 2; i < MAX_COMPONENTS; i++) {
        if ((host_xcr0 >> i & 1) != 0) {
            component[i] = host_leaf(0xd, i);
            component[i].ecx &= 2; // user state; bit 1: aligned to 64 in the compacted form
            component[i].edx = 0;
        }
    }
    slot->value.eax = (uint32_t)host_xcr0;
    slot->value.edx = (uint32_t)(host_xcr0 >> 32);
    slot->value.ecx = standard_size(host_xcr0);
}

static bool is_intel(const struct cpuid_result *leaf0)
{
    return leaf0->ebx == 0x756e6547 && leaf0->edx == 0x49656e69; // "Genu", "ineI"
}

static void build_ranges(void)
{
    struct cpuid_result *leaf0 = &basic[0].value, *ext0 = &extended[0].value;

    *leaf0 = host_leaf(0, 0);
    leaf0->eax = is_intel(leaf0) ? BASIC_MAX_INTEL : BASIC_MAX_OTHER;
    *ext0 = host_leaf(EXT_FIRST, 0);
    ext0->eax = MAX(MIN(ext0->eax, EXT_MAX), 0x80000008u);
    basic[7].value.eax = MIN(host_leaf(7, 0).eax, 1u);
}

// The TSC is the crystal too, since the APIC timer counts at its rate. Rates of 4.3 GHz and more do not fit.
static void build_frequencies(void)
{
    if (is_intel(&basic[0].value) && host_tsc_hz <= UINT32_MAX) {
        uint32_t mhz = (uint32_t)(host_tsc_hz / 1000000);

        basic[0x15].value = (struct cpuid_result){.eax = 1, .ebx = 1, .ecx = (uint32_t)host_tsc_hz};
        basic[0x16].value = (struct cpuid_result){.eax = mhz, .ebx = mhz, .ecx = mhz};
    }
}

// TLFS "Feature and Interface Discovery".
#define HV_FEATURE_FREQUENCY_MSRS B(8)
#define HV_FEATURE_HYPERCALL_LOCK B(18)
#define HV_FEATURE_DIRECT_TIMERS B(19)
#define HV_HINT_APIC_MSRS B(3)
#define HV_HINT_RELAXED_TIMING B(5)
#define HV_HINT_X2APIC B(8)
#define HV_HINT_NO_AUTO_EOI B(9)
#define HV_HARDWARE_APIC_ASSIST B(0)
#define HV_HARDWARE_MSR_BITMAPS B(1)
#define HV_HARDWARE_SLAT B(3)
#define HV_HARDWARE_APIC_EMULATION B(23)

static void build_hypervisor(void)
{
    uint32_t hints = HV_HINT_RELAXED_TIMING | HV_HINT_X2APIC | HV_HINT_NO_AUTO_EOI;
    uint32_t hardware = HV_HARDWARE_MSR_BITMAPS | HV_HARDWARE_SLAT | HV_HARDWARE_APIC_EMULATION;

    hints |= virt_caps.apicv ? 0 : HV_HINT_APIC_MSRS;
    hardware |= virt_caps.apicv ? HV_HARDWARE_APIC_ASSIST : 0;
    // "Microsoft Hv", "Hv#1"
    hypervisor[0].value = (struct cpuid_result){HV_MAX, 0x7263694d, 0x666f736f, 0x76482074};
    hypervisor[1].value = (struct cpuid_result){.eax = 0x31237648};
    hypervisor[2].value = (struct cpuid_result){.eax = 1, .ebx = 10u << 16};
    hypervisor[3].value.edx = HV_FEATURE_FREQUENCY_MSRS | HV_FEATURE_HYPERCALL_LOCK |
                              HV_FEATURE_DIRECT_TIMERS;
    hypervisor[4].value = (struct cpuid_result){.eax = hints, .ebx = 0xffffffff};
    hypervisor[5].value = (struct cpuid_result){.eax = HV_MAX_VPS_PER_PARTITION, .ebx = HV_MAX_CPUS};
    hypervisor[6].value.eax = hardware;
    // "KeelsonHv", then the version as text
    vendor[0].value = (struct cpuid_result){VENDOR_FIRST + 1, 0x6c65654b, 0x486e6f73, 0x76};
    __builtin_memcpy(&vendor[1].value, KEELSON_VERSION,
                     MIN(sizeof(KEELSON_VERSION), sizeof(vendor[1].value)));
}

void cpuid_policy_build(cpuid_reader *reader)
{
    read_host = reader;
    __builtin_memset(basic, 0, sizeof(basic));
    __builtin_memset(extended, 0, sizeof(extended));
    __builtin_memset(component, 0, sizeof(component));
    leaf7_1 = (struct cpuid_result){0};
    build_ranges();
    apply_allow_rows();
    apply_force_rows();
    copy_pass_rows();
    build_caches();
    build_xsave();
    build_frequencies();
    build_hypervisor();
    set_fixups();
    msr_policy_init();
}

static void read_processor(uint32_t leaf, uint32_t subleaf, struct cpuid_result *out)
{
    struct cpuid_regs r = cpuid(leaf, subleaf);

    *out = (struct cpuid_result){r.eax, r.ebx, r.ecx, r.edx};
}

void cpuid_policy_init(void)
{
    cpuid_policy_build(read_processor);
}

bool cpuid_policy_has(uint32_t leaf, unsigned reg, unsigned bit)
{
    struct slot *slot = slot_of(leaf);

    return slot != NULL && (*reg_of(&slot->value, reg) >> bit & 1) != 0;
}

static void put_result(struct vp *vp, const struct cpuid_result *r)
{
    struct hv_register_page *regs = vp->regs;

    regs->gpr[GPR_RAX] = r->eax;
    regs->gpr[GPR_RBX] = r->ebx;
    regs->gpr[GPR_RCX] = r->ecx;
    regs->gpr[GPR_RDX] = r->edx;
}

static __attribute__((noinline)) enum vp_action exit_cpuid_computed(struct vp *vp)
{
    uint32_t leaf = (uint32_t)vp_gpr(vp, GPR_RAX);
    struct cpuid_result r;

    if (leaf == 0xd) {
        fpu_read_xcr0(vp);
    }
    cpuid_policy(vp, leaf, (uint32_t)vp_gpr(vp, GPR_RCX), &r);
    put_result(vp, &r);
    vp->exit.insn_len = (uint8_t)vp_insn_len(vp, 2);
    return VP_ADVANCE;
}

// Most leaves are the same for everybody: straight from the table to the registers.
enum vp_action exit_cpuid(struct vp *vp)
{
    const struct slot *slot = slot_of((uint32_t)vp_gpr(vp, GPR_RAX));

    if (slot == NULL || slot->fixup != NULL || vp->exit.insn_len == 0) {
        return exit_cpuid_computed(vp);
    }
    put_result(vp, &slot->value);
    return VP_ADVANCE;
}
