// SPDX-License-Identifier: Apache-2.0
// Linux implementation of mgmt/plat.h: a poll() loop, for unit tests, fuzzing and host programs.
#include "tests/sim/plat_host.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_MS 1000000ull
#define FDS_MAX 1024
#define POOL_GPA (4ull << 30) // where the pretended guest pool lies
#define POOL_CHUNKS 2048u     // of 2 MiB: address space only, pages come when touched

static struct plat_timer *timers; // by deadline, earliest first
static struct plat_work *work_head, **work_tail = &work_head;
static struct plat_source *sources;
static struct plat_fd *fds;
static int wake_pipe[2] = {-1, -1};
static bool manual_clock;
static uint64_t manual_now_ns;
static int64_t unix_offset_ms; // what plat_set_unix_ms() added to the host's clock
static enum plat_log_level log_limit = LOG_WARN;
static bool log_off;

// --- time ---

static uint64_t clock_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

uint64_t plat_now_ns(void)
{
    return manual_clock ? manual_now_ns : clock_ns(CLOCK_MONOTONIC);
}

int64_t plat_unix_ms(void)
{
    return (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_MS) + unix_offset_ms;
}

void plat_set_unix_ms(int64_t unix_ms)
{
    unix_offset_ms = unix_ms - (int64_t)(clock_ns(CLOCK_REALTIME) / NS_PER_MS);
}

void plat_host_manual_clock(void)
{
    manual_now_ns = clock_ns(CLOCK_MONOTONIC);
    manual_clock = true;
}

void plat_host_advance_ms(uint64_t ms)
{
    uint64_t end = manual_now_ns + ms * NS_PER_MS;

    plat_host_settle();
    while (timers && timers->deadline_ns <= end) { // one timer's moment after the other
        manual_now_ns = MAX(manual_now_ns, timers->deadline_ns);
        plat_host_settle();
    }
    manual_now_ns = end;
    plat_host_settle();
}

// --- randomness ---

void plat_random(void *buf, size_t len)
{
    uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);

        if (n < 0 && errno != EINTR) {
            abort();
        }
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

void plat_entropy_add(const void *buf, size_t len)
{
    (void)buf; // the kernel needs no help
    (void)len;
}

// --- log ---

void plat_host_log_level(enum plat_log_level level)
{
    log_limit = level;
}

void plat_host_log_off(void)
{
    log_off = getenv("KEELSON_LOG") == NULL;
}

void plat_log(enum plat_log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"error", "notice", "warn", "info", "debug"};
    static bool read_env;
    va_list ap;

    if (!read_env) {
        const char *env = getenv("KEELSON_LOG");

        read_env = true;
        if (env) {
            log_limit = (enum plat_log_level)atoi(env);
        }
    }
    if (level > log_limit || log_off) {
        return;
    }
    fprintf(stderr, "%-6s ", names[level]);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

// --- guest pool: address space of our own process ---

static uint8_t pool_used[POOL_CHUNKS];

static uint8_t *pool_base(void)
{
    static uint8_t *base;

    if (!base) {
        base = mmap(NULL, POOL_CHUNKS * PAGE_SIZE_2M, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED) {
            abort();
        }
    }
    return base;
}

bool plat_pool_alloc(size_t count, gpa_t *gpa)
{
    size_t step = count % 512 == 0 ? 512 : 1;

    for (size_t i = 0; count > 0 && i + count <= POOL_CHUNKS; i += step) {
        if (!memchr(pool_used + i, 1, count)) {
            memset(pool_used + i, 1, count);
            *gpa = GPA(POOL_GPA + i * PAGE_SIZE_2M);
            return true;
        }
    }
    return false;
}

void plat_pool_free(gpa_t gpa, size_t count)
{
    size_t first = (gpa.v - POOL_GPA) / PAGE_SIZE_2M;

    for (size_t i = first; i < first + count; i++) {
        if (i >= POOL_CHUNKS || !pool_used[i]) {
            abort(); // freed twice, or never taken
        }
        pool_used[i] = 0;
    }
    madvise(pool_base() + first * PAGE_SIZE_2M, count * PAGE_SIZE_2M, MADV_DONTNEED);
}

void *plat_pool_va(gpa_t gpa)
{
    return pool_base() + (gpa.v - POOL_GPA);
}

void plat_pool_usage(uint64_t *total_bytes, uint64_t *free_bytes)
{
    size_t used = 0;

    for (size_t i = 0; i < POOL_CHUNKS; i++) {
        used += pool_used[i];
    }
    *total_bytes = POOL_CHUNKS * PAGE_SIZE_2M;
    *free_bytes = (POOL_CHUNKS - used) * PAGE_SIZE_2M;
}

// Under AddressSanitizer malloc's own figures stay zero and the sanitizer knows better.
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

void plat_heap_usage(uint64_t *total_bytes, uint64_t *used_bytes)
{
    if (__sanitizer_get_current_allocated_bytes) {
        *used_bytes = __sanitizer_get_current_allocated_bytes();
    } else {
        *used_bytes = mallinfo2().uordblks;
    }
    *total_bytes = 64ull << 20;
}

// --- timers and work ---

void plat_timer_stop(struct plat_timer *t)
{
    if (!t->armed) {
        return;
    }
    for (struct plat_timer **link = &timers; *link; link = &(*link)->next) {
        if (*link == t) {
            *link = t->next;
            break;
        }
    }
    t->armed = false;
}

void plat_timer_start(struct plat_timer *t, uint64_t delay_ns, void (*fn)(struct plat_timer *))
{
    struct plat_timer **link = &timers;

    plat_timer_stop(t);
    t->deadline_ns = plat_now_ns() + delay_ns;
    t->fn = fn;
    t->armed = true;
    while (*link && (*link)->deadline_ns <= t->deadline_ns) {
        link = &(*link)->next;
    }
    t->next = *link;
    *link = t;
}

void plat_post(struct plat_work *w, void (*fn)(struct plat_work *))
{
    w->fn = fn;
    if (w->queued) {
        return;
    }
    w->queued = true;
    w->next = NULL;
    *work_tail = w;
    work_tail = &w->next;
}

void plat_source_add(struct plat_source *s)
{
    s->next = sources;
    sources = s;
}

void plat_wake(void)
{
    if (wake_pipe[1] >= 0 && write(wake_pipe[1], "", 1) < 0) {
        return; // a full pipe wakes as well
    }
}

static bool run_timers(void)
{
    uint64_t now = plat_now_ns();
    bool ran = false;

    while (timers && timers->deadline_ns <= now) {
        struct plat_timer *t = timers;

        timers = t->next;
        t->armed = false;
        t->fn(t);
        ran = true;
    }
    return ran;
}

// Runs what is queued now; what that queues runs in the next turn.
static bool run_work(void)
{
    struct plat_work *list = work_head;
    bool ran = list != NULL;

    work_head = NULL;
    work_tail = &work_head;
    while (list) {
        struct plat_work *w = list;

        list = w->next;
        w->queued = false;
        w->fn(w);
    }
    return ran;
}

static bool run_sources(void)
{
    bool ran = false;

    for (struct plat_source *s = sources; s; s = s->next) {
        ran |= s->poll(s);
    }
    return ran;
}

// --- files ---

void plat_fd_add(struct plat_fd *f)
{
    f->index = -1;
    f->next = fds;
    fds = f;
}

void plat_fd_remove(struct plat_fd *f)
{
    for (struct plat_fd **link = &fds; *link; link = &(*link)->next) {
        if (*link == f) {
            *link = f->next;
            break;
        }
    }
    f->index = -1;
}

static struct plat_fd *fd_at(short index)
{
    for (struct plat_fd *f = fds; f; f = f->next) {
        if (f->index == index) {
            return f;
        }
    }
    return NULL; // removed by an earlier callback of this turn
}

static short fill_pollfds(struct pollfd *pfd)
{
    short n = 1;

    pfd[0] = (struct pollfd){.fd = wake_pipe[0], .events = POLLIN};
    for (struct plat_fd *f = fds; f && n < FDS_MAX; f = f->next, n++) {
        f->index = n;
        pfd[n] = (struct pollfd){.fd = f->fd, .events = f->events};
    }
    return n;
}

static bool run_files(int timeout_ms)
{
    static struct pollfd pfd[FDS_MAX];
    bool ran = false;
    short n = fill_pollfds(pfd);

    if (poll(pfd, (nfds_t)n, timeout_ms) <= 0) {
        return false;
    }
    if (pfd[0].revents) {
        char drain[64];

        ran = read(wake_pipe[0], drain, sizeof drain) > 0;
    }
    for (short i = 1; i < n; i++) {
        struct plat_fd *f = pfd[i].revents ? fd_at(i) : NULL;

        if (f) {
            f->fn(f, pfd[i].revents);
            ran = true;
        }
    }
    return ran;
}

// --- loop ---

static int sleep_ms(int timeout_ms)
{
    uint64_t now = plat_now_ns();

    if (work_head) {
        return 0;
    }
    if (manual_clock) {
        return MIN(timeout_ms, 1); // other processes may still be talking to us
    }
    if (!timers) {
        return timeout_ms;
    }
    if (timers->deadline_ns <= now) {
        return 0;
    }
    return (int)MIN((uint64_t)timeout_ms, (timers->deadline_ns - now) / NS_PER_MS + 1);
}

bool plat_host_step(int timeout_ms)
{
    bool ran;

    if (wake_pipe[0] < 0 && pipe2(wake_pipe, O_NONBLOCK) < 0) {
        abort();
    }
    ran = run_timers();
    ran |= run_work();
    ran |= run_sources();
    ran |= run_files(ran ? 0 : sleep_ms(timeout_ms));
    return ran;
}

bool plat_host_run_until(const bool *done, int timeout_ms)
{
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + (uint64_t)timeout_ms * NS_PER_MS;

    while (!*done && clock_ns(CLOCK_MONOTONIC) < end) {
        plat_host_step(10);
    }
    return *done;
}

void plat_host_settle(void)
{
    while (plat_host_step(0)) {
    }
}

size_t plat_host_armed(void)
{
    size_t n = 0;

    for (struct plat_timer *t = timers; t; t = t->next) {
        n++;
    }
    for (struct plat_work *w = work_head; w; w = w->next) {
        n++;
    }
    return n;
}

void plat_run(void)
{
    for (;;) {
        plat_host_step(1000);
    }
}
