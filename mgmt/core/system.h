// SPDX-License-Identifier: Apache-2.0
// Systems: the virtual machines of the node, one object a machine, shared by all faces.
//
//                    start                       pause
//   (create) CREATED ──────► RUNNING ◄──────────────────► PAUSED
//               │              │ guest powers off, crashes; terminate     │
//               └──────────────┴──────────► STOPPED ◄─────────────────────┘──► (delete, or pushed out)
//
// A system takes memory when it starts, not when it is created; creation only checks that it could ever
// run here. A STOPPED system holds no resources, it just remembers how it ended; creating one with the
// same id replaces it. Long changes are tracked by an operation (NULL: nobody is interested); the state
// changes when the work is done. Control plane only.
#ifndef MGMT_CORE_SYSTEM_H
#define MGMT_CORE_SYSTEM_H

#include "mgmt/core/cloud_seed.h"
#include "mgmt/core/console.h"
#include "mgmt/core/modules.h"
#include "mgmt/core/operation.h"
#include "mgmt/core/partition.h"

#define SYSTEM_ID_MAX OPERATION_SUBJECT_MAX // bytes of UTF-8, no control characters, no '/'
#define SYSTEM_OWNER_MAX 128
#define SYSTEM_CMDLINE_MAX 2047
#define SYSTEM_COUNT_MAX 1024
#define SYSTEM_STOPPED_KEPT 64 // more STOPPED systems push out the oldest
#define SYSTEM_CAP_NONE 0x10000u

enum system_state { SYSTEM_CREATED, SYSTEM_RUNNING, SYSTEM_PAUSED, SYSTEM_STOPPED };

enum system_exit { SYSTEM_EXIT_NONE, SYSTEM_EXIT_GRACEFUL, SYSTEM_EXIT_FORCED, SYSTEM_EXIT_UNEXPECTED };

enum system_exit_cause {
    SYSTEM_CAUSE_NONE,
    SYSTEM_CAUSE_POWER_OFF,  // by the guest
    SYSTEM_CAUSE_RESET,      // by the guest, with stop_on_reset
    SYSTEM_CAUSE_TERMINATED, // by a client
    SYSTEM_CAUSE_TRIPLE_FAULT,
    SYSTEM_CAUSE_VP_FAILURE,   // VM entry refused, unknown exit
    SYSTEM_CAUSE_RESET_FAILED, // could not be built again
};

struct system_config { // strings are copied by system_create()
    const char *owner;
    uint64_t memory_bytes; // multiple of PARTITION_MEMORY_UNIT
    uint32_t vp_count;
    uint32_t weight, cap, reserve; // as in struct partition_config
    bool com[DP_CONSOLES];
    const char *kernel; // image name
    const char *initrd; // modules.h; NULL: none
    const char *cmdline;
    struct disk_source disk[DP_MAX_DISKS];
    uint8_t disk_count;
    struct system_nic {
        uint8_t mac[6];       // zeros: the endpoint's, or one is made
        const char *endpoint; // id; "": the default switch
    } nic[DP_MAX_NICS];
    uint8_t nic_count;
    bool has_seed; // the last of the disks is made of the following
    struct seed_config seed;
    bool stop_on_reset;
    bool terminate_on_last_close;
};

struct system {
    struct system *next; // in creation order
    struct system *hash_next;
    char id[SYSTEM_ID_MAX + 1];
    char owner[SYSTEM_OWNER_MAX + 1];
    uint8_t runtime_id[16]; // random UUID (RFC 9562 version 4)
    enum system_state state;
    int64_t created_ms, started_ms, stopped_ms; // wall clock; 0: not yet
    uint64_t started_ns;                        // monotonic
    unsigned resets;
    bool stop_on_reset;
    bool terminate_on_last_close;

    enum system_exit exit;
    enum system_exit_cause cause;
    char exit_text[CORE_TEXT_MAX]; // for people

    struct partition_config cfg;
    char *cmdline;
    char *disk_path[DP_MAX_DISKS];
    uint8_t *seed;              // contents of the seed's disk; NULL: none
    char *initrd;               // as it was given
    struct module_list modules; // of it
    struct image *kernel;       // referenced until STOPPED, like the next
    struct image *module[KERNEL_MAX_MODULES];
    struct partition partition;
    struct console com[DP_CONSOLES];

    // What is going on (system_run.c).
    enum system_goal {
        SYSTEM_GOAL_NONE,
        SYSTEM_GOAL_START,
        SYSTEM_GOAL_RESET, // stop and build again
        SYSTEM_GOAL_STOP,
    } goal;
    struct operation *start_op, *shutdown_op, *stop_op;
    struct notify_list ended; // raised when it becomes STOPPED

    unsigned refs; // users outside the table: an open console
    bool deleted;  // not in the table any more; freed with the last reference
};

// Creates a system in state CREATED. Fails if the id is taken by one that is not STOPPED, if an image is
// missing or cannot be booted, or if the node could not run it even when empty.
enum core_status system_create(const char *id, const struct system_config *cfg, struct system **out,
                               struct core_error *error);
struct system *system_find(const char *id);
struct system *system_next(const struct system *previous); // NULL starts; creation order
size_t system_count(void);
// Forgets a STOPPED system.
enum core_status system_delete(struct system *s, struct core_error *error);
void system_ref(struct system *s);
void system_unref(struct system *s);

// Each of these returns an error at once if the state does not allow it (then the operation is untouched
// and remains the caller's), else CORE_OK, and *op is finished now or later.
enum core_status system_start(struct system *s, struct operation *op, struct core_error *error);
enum core_status system_terminate(struct system *s, struct operation *op, struct core_error *error);
enum core_status system_shutdown(struct system *s, struct operation *op, struct core_error *error);
enum core_status system_pause(struct system *s, struct operation *op, struct core_error *error);
enum core_status system_resume(struct system *s, struct operation *op, struct core_error *error);

bool system_busy(const struct system *s);         // an operation changes its state
unsigned system_progress(const struct system *s); // 0..100 while busy
const char *system_state_name(enum system_state state);
// Run time of the guest's VPs in units of 100 ns, 0 if it does not run.
uint64_t system_cpu_100ns(const struct system *s);

// For core_init(): events of the data plane reach systems from here on.
void system_init(void);
// Private to system*.c.
void system_release(struct system *s); // resources that only a living system needs

#endif
