// SPDX-License-Identifier: Apache-2.0
// Guests whose device models want a turn of the loop: a list, each guest at most once on it. VP 0 only.
#include "mgmt/dataplane/dataplane.h"

struct dp_vm *dp_work_first;
static struct dp_vm *last;

void dp_work(struct dp_vm *vm)
{
    if (vm->work_queued) {
        return;
    }
    vm->work_queued = true;
    vm->next_work = NULL;
    if (dp_work_first == NULL) {
        dp_work_first = vm;
    } else {
        last->next_work = vm;
    }
    last = vm;
}

struct dp_vm *dp_work_take(void)
{
    struct dp_vm *vm = dp_work_first;

    if (vm != NULL) {
        dp_work_first = vm->next_work;
        vm->work_queued = false;
    }
    return vm;
}

void dp_work_forget(struct dp_vm *vm)
{
    struct dp_vm *previous = NULL;

    for (struct dp_vm *v = dp_work_first; v != NULL; previous = v, v = v->next_work) {
        if (v != vm) {
            continue;
        }
        if (previous == NULL) {
            dp_work_first = v->next_work;
        } else {
            previous->next_work = v->next_work;
        }
        if (last == v) {
            last = previous;
        }
        v->work_queued = false;
        return;
    }
}
