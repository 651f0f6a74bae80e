// SPDX-License-Identifier: Apache-2.0
// What newlib asks of the system below it: almost nothing, since there are neither files nor processes.
//
// sbrk() is in memory.c. newlib's own lock functions do nothing, which is right: only the control plane
// uses libc, and it is one thread.
#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/interrupt.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reent.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int getentropy(void *buf, size_t len);

// newlib's reentrancy hook (__DYNAMIC_REENT__).
struct _reent *__getreent(void)
{
    return rt_vp()->reent;
}

// Standard output and error are the node's console, whatever else is open nowhere.
int write(int fd, const void *buf, size_t len)
{
    if (fd != STDOUT_FILENO && fd != STDERR_FILENO) {
        errno = EBADF;
        return -1;
    }
    if (hvif_console_write(buf, len) != HV_STATUS_SUCCESS) {
        errno = EIO;
        return -1;
    }
    return (int)len;
}

int read(int fd, void *buf, size_t len)
{
    (void)fd;
    (void)buf;
    (void)len;
    errno = EBADF;
    return -1;
}

int close(int fd)
{
    (void)fd;
    errno = EBADF;
    return -1;
}

int fstat(int fd, struct stat *st)
{
    (void)fd;
    memset(st, 0, sizeof(*st));
    st->st_mode = S_IFCHR;
    return 0;
}

int isatty(int fd)
{
    return fd <= STDERR_FILENO;
}

off_t lseek(int fd, off_t offset, int whence)
{
    (void)fd;
    (void)offset;
    (void)whence;
    errno = ESPIPE;
    return -1;
}

int open(const char *path, int flags, ...)
{
    (void)path;
    (void)flags;
    errno = ENOENT;
    return -1;
}

int unlink(const char *path)
{
    (void)path;
    errno = ENOENT;
    return -1;
}

pid_t getpid(void)
{
    return 1;
}

int kill(pid_t pid, int sig)
{
    (void)pid;
    (void)sig;
    rt_panic("abort()");
}

void _exit(int code)
{
    (void)code;
    rt_panic("exit()");
}

int gettimeofday(struct timeval *tv, void *tz)
{
    int64_t ms = plat_unix_ms();

    (void)tz;
    tv->tv_sec = ms / 1000;
    tv->tv_usec = (suseconds_t)(ms % 1000 * 1000);
    return 0;
}

int getentropy(void *buf, size_t len)
{
    plat_random(buf, len);
    return 0;
}

// newlib's aligned_alloc() calls it and has none.
int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *p = memalign(alignment, size);

    if (p == NULL) {
        return ENOMEM;
    }
    *out = p;
    return 0;
}

void __assert_func(const char *file, int line, const char *function, const char *expression)
{
    (void)line;
    (void)function;
    plat_log(LOG_ERROR, "assertion failed: %s (%s:%d, %s)", expression, file, line, function);
    rt_panic("assertion failed");
}
