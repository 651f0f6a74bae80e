// SPDX-License-Identifier: Apache-2.0
// Start of the hypervisor on the boot processor and on the others.
#include "arch/x86/host.h"
#include "arch/x86/policy.h"
#include "arch/x86/virt.h"
#include "hv/console.h"
#include "hv/frames.h"
#include "hv/hypercall.h"
#include "hv/root.h"
#include "hv/sched.h"
#include "hv/screen.h"

const struct virt_ops *virt;
struct virt_caps virt_caps;
uint64_t hv_image_spa;
static bool hv_ready; // the boot processor is done: the others may schedule

static void check_boot_info(const struct boot_info *info)
{
    if (info->magic != BOOT_INFO_MAGIC || info->version != BOOT_INFO_VERSION || info->size != sizeof(*info) ||
        info->range_count > BOOT_MAX_RANGES || info->cpu_count > BOOT_MAX_CPUS) {
        panic("boot information of another version");
    }
}

static void choose_apicv(const struct boot_info *info)
{
    bool use = info->apicv == BOOT_APICV_ON || (info->apicv != BOOT_APICV_OFF && !virt_caps.apicv_faulty);

    if (virt_caps.apicv && virt_caps.apicv_faulty) {
        LOGW("APIC virtualization is that of an emulator that interrupts guests with RFLAGS.IF clear: %s",
             use ? "used, as keelson.cfg wants it" : "not used");
    }
    virt_caps.apicv = virt_caps.apicv && use;
}

static void choose_backend(void)
{
    static const struct virt_ops *const backends[] = {&vmx_ops, &svm_ops};
    char why[2][80] = {"", ""};

    for (unsigned i = 0; i < ARRAY_LEN(backends); i++) {
        if (backends[i]->probe(&virt_caps, why[i], sizeof(why[i]))) {
            virt = backends[i];
            return;
        }
    }
    panic("no usable virtualization extension: VT-x: %s; AMD-V: %s", why[0], why[1]);
}

static void log_machine(const struct boot_info *info)
{
    uint64_t ram = 0;

    for (uint32_t i = 0; i < info->range_count; i++) {
        ram += info->ranges[i].type == BOOT_RANGE_RAM ? info->ranges[i].size : 0;
    }
    LOGN("Keelson %s: %s, %u processors, %llu MiB free, TSC %llu MHz%s", KEELSON_VERSION, virt->name,
         cpu_count, (unsigned long long)(ram >> 20), (unsigned long long)(host_tsc_hz / 1000000),
         virt_caps.apicv ? ", APIC virtualization" : "");
}

static void choose_processors(void)
{
    if (virt_caps.spare_boot_cpu && cpu_count > 1) {
        cpu_first = 1;
        LOGW("QEMU's AMD-V damages the first processor when others run: it is left idle, %u of %u work",
             cpu_working(), cpu_count);
    }
}

void hv_main(struct boot_info *info)
{
    hv_image_spa = info->hv_base;
    console_init(info);
    check_boot_info(info);
    log_level = (enum log_level)MIN(info->log_level, (uint8_t)LOG_DEBUG);
    host_init(info);
    screen_init(info);
    frames_init(info);
    choose_backend();
    choose_apicv(info);
    host_start_cpus(info);
    choose_processors();
    cpuid_policy_init();
    hypercall_init();
    virt->cpu_on();
    for (uint32_t i = 0; i < cpu_count; i++) {
        sched_init_cpu(i);
    }
    log_machine(info);
    root_create(info);
    __atomic_store_n(&hv_ready, true, __ATOMIC_RELEASE);
    sched_loop();
}

void hv_cpu_main(void)
{
    while (!__atomic_load_n(&hv_ready, __ATOMIC_ACQUIRE)) {
        cpu_serve_calls();
        __builtin_ia32_pause();
    }
    virt->cpu_on();
    sched_loop();
}
