// SPDX-License-Identifier: Apache-2.0
// The hypervisor and the management partition as files inside the loader, stripped by the makefile.
    .section .rodata.payload, "a"

    .global payload_hv, payload_hv_end
    .balign 16
payload_hv:
    .incbin "hv.elf"
payload_hv_end:

    .global payload_mgmt, payload_mgmt_end
    .balign 16
payload_mgmt:
    .incbin "mgmt.elf"
payload_mgmt_end:

    .section .note.GNU-stack, "", @progbits
