// SPDX-License-Identifier: Apache-2.0
// Hypercalls as they are: any input value, any parameter block.
#include "tests/guest/root/root.h"

#include <string.h>

void *call_in(void)
{
    return rt_vp()->call_in;
}

void *call_out(void)
{
    return rt_vp()->call_out;
}

uint64_t call_in_gpa(void)
{
    return rt_vp()->call_in_gpa;
}

uint64_t call_out_gpa(void)
{
    return rt_vp()->call_out_gpa;
}

uint64_t raw_call(uint64_t input, uint64_t rdx, uint64_t r8_value)
{
    register uint64_t r8 __asm__("r8") = r8_value;
    uint64_t rcx = input, result;

    __asm__ volatile("call *%4"
                     : "=a"(result), "+c"(rcx), "+d"(rdx), "+r"(r8)
                     : "r"(boot->hypercall_page)
                     : "r9", "r10", "r11", "cc", "memory");
    cover_call((uint16_t)input, (hv_status_t)HVCALL_RESULT_STATUS(result));
    return result;
}

bool expect(unsigned line, hv_status_t status, uint64_t input, const void *in, size_t len)
{
    hv_status_t got;

    memcpy(call_in(), in, len);
    got = (hv_status_t)HVCALL_RESULT_STATUS(raw_call(input, call_in_gpa(), call_out_gpa()));
    if (got == status) {
        return true;
    }
    put("root: line ");
    put_number(line);
    put(": ");
    put(hvif_status_text(got));
    put(" instead of: ");
    put(hvif_status_text(status));
    put("\n");
    return false;
}
