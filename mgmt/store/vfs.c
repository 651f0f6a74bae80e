// SPDX-License-Identifier: Apache-2.0
// The sqlite3_vfs (https://www.sqlite.org/vfs.html) over a worker and two regions.
#include "mgmt/store/vfs.h"

#include <sqlite3.h>
#include <string.h>

#include "mgmt/plat.h"

#define JOURNAL_SPARE                                                                                        \
    4096u          // never written: where SQLite looks for the name of a super-journal, which we never have
#define BLOCK 4096 // what a power cut may damage around a write, as SQLite is told
#define UNIX_EPOCH_JULIAN_MS 210866760000000ll

struct vfs_file {
    sqlite3_file base;
    struct vfs *vfs;
};

static struct vfs *attached;

static struct vfs *vfs_of(sqlite3_file *file)
{
    return ((struct vfs_file *)file)->vfs;
}

// --- lengths ---

static bool read_length(struct vfs *v, uint64_t sector, struct layout_length *best)
{
    struct layout_length record;

    if (worker_read(v->worker, sector, &record, 1) != DISK_OK) {
        return false;
    }
    if (layout_length_valid(&record) && record.sequence > best->sequence) {
        *best = record;
    }
    return true;
}

static bool read_lengths(struct vfs *v)
{
    struct layout_length best = {0};

    if (!read_length(v, LAYOUT_LENGTH_0, &best) || !read_length(v, LAYOUT_LENGTH_1, &best)) {
        return false;
    }
    v->length = MIN(best.bytes, v->super->database_sectors * DISK_SECTOR);
    v->recorded = v->length;
    v->length_sequence = best.sequence;
    return true;
}

// The record that does not hold the present length is overwritten.
static enum disk_status write_length(struct vfs *v)
{
    uint64_t sequence = v->length_sequence + 1;
    struct layout_length record;
    enum disk_status status;

    if (v->length == v->recorded) {
        return DISK_OK;
    }
    layout_seal_length(&record, sequence, v->length);
    status = worker_write(v->worker, sequence % 2 ? LAYOUT_LENGTH_1 : LAYOUT_LENGTH_0, &record, 1);
    if (status == DISK_OK) {
        v->length_sequence = sequence;
        v->recorded = v->length;
    }
    return status;
}

static int note(struct vfs *v, enum disk_status status, int error)
{
    if (status == DISK_OK) {
        return SQLITE_OK;
    }
    v->failed = true;
    return error;
}

static int flush(struct vfs *v)
{
    return note(v, worker_flush(v->worker), SQLITE_IOERR_FSYNC);
}

// --- database: pages go straight to the disk ---

// Part of up to 4096 bytes that is not whole sectors: through the bounce buffer.
static enum disk_status read_part(struct vfs *v, uint64_t base, uint64_t offset, uint8_t *out,
                                  uint32_t length)
{
    uint64_t first = ALIGN_DOWN(offset, (uint64_t)DISK_SECTOR),
             last = ALIGN_UP(offset + length, (uint64_t)DISK_SECTOR);
    enum disk_status status = worker_read(v->worker, base + first / DISK_SECTOR, v->bounce,
                                          (last - first) / DISK_SECTOR);

    if (status == DISK_OK) {
        memcpy(out, v->bounce + (offset - first), length);
    }
    return status;
}

static int database_read(sqlite3_file *file, void *buffer, int amount, sqlite3_int64 offset)
{
    struct vfs *v = vfs_of(file);
    uint64_t at = (uint64_t)offset;
    uint64_t there = at >= v->length ? 0 : MIN((uint64_t)amount, v->length - at);
    uint64_t base = v->super->database_sector;

    for (uint64_t done = 0; done < there;) {
        uint32_t n = (uint32_t)MIN(there - done, 4096u);

        if (read_part(v, base, at + done, (uint8_t *)buffer + done, n) != DISK_OK) {
            return SQLITE_IOERR_READ;
        }
        done += n;
    }
    memset((uint8_t *)buffer + there, 0, (size_t)amount - there);
    return there == (uint64_t)amount ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static int database_write(sqlite3_file *file, const void *buffer, int amount, sqlite3_int64 offset)
{
    struct vfs *v = vfs_of(file);
    uint64_t at = (uint64_t)offset, end = at + (uint64_t)amount;
    enum disk_status status;

    if (v->failed || at % DISK_SECTOR != 0 || amount % (int)DISK_SECTOR != 0 || amount > BLOCK) {
        return SQLITE_IOERR_WRITE; // SQLite writes whole pages, and ours have one block
    }
    if (end > v->super->database_sectors * DISK_SECTOR) {
        return SQLITE_FULL;
    }
    memcpy(v->bounce, buffer, (size_t)amount); // aligned for the device
    status = worker_write(v->worker, v->super->database_sector + at / DISK_SECTOR, v->bounce,
                          (uint64_t)amount / DISK_SECTOR);
    if (status == DISK_OK && end > v->length) {
        v->length = end;
    }
    return note(v, status, SQLITE_IOERR_WRITE);
}

static int database_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct vfs *v = vfs_of(file);

    v->length = MIN(v->length, (uint64_t)size);
    return SQLITE_OK;
}

static int database_sync(sqlite3_file *file, int flags)
{
    struct vfs *v = vfs_of(file);

    (void)flags;
    if (v->failed || note(v, write_length(v), SQLITE_IOERR_FSYNC) != SQLITE_OK) {
        return SQLITE_IOERR_FSYNC;
    }
    return flush(v);
}

static int database_size(sqlite3_file *file, sqlite3_int64 *size)
{
    *size = (sqlite3_int64)vfs_of(file)->length;
    return SQLITE_OK;
}

// --- journal: many small writes, gathered in a window ---

static int window_clean(struct vfs *v)
{
    enum disk_status status;

    if (v->dirty_from == v->dirty_to) {
        return SQLITE_OK;
    }
    if (v->failed) {
        return SQLITE_IOERR_WRITE;
    }
    status = worker_write(v->worker, v->super->journal_sector + (v->window_at + v->dirty_from) / DISK_SECTOR,
                          v->window + v->dirty_from, (v->dirty_to - v->dirty_from) / DISK_SECTOR);
    v->dirty_from = v->dirty_to = 0;
    return note(v, status, SQLITE_IOERR_WRITE);
}

// Makes the window the one around `offset`.
static int window_move(struct vfs *v, uint64_t offset)
{
    uint64_t at = ALIGN_DOWN(offset, (uint64_t)VFS_WINDOW);
    int rc;

    if (v->window_loaded && v->window_at == at) {
        return SQLITE_OK;
    }
    rc = window_clean(v);
    if (rc != SQLITE_OK) {
        return rc;
    }
    v->window_loaded = false;
    if (worker_read(v->worker, v->super->journal_sector + at / DISK_SECTOR, v->window,
                    VFS_WINDOW / DISK_SECTOR) != DISK_OK) {
        return SQLITE_IOERR_READ;
    }
    v->window_at = at;
    v->window_loaded = true;
    return SQLITE_OK;
}

static uint64_t journal_bytes(const struct vfs *v)
{
    return v->super->journal_sectors * DISK_SECTOR;
}

static int journal_read(sqlite3_file *file, void *buffer, int amount, sqlite3_int64 offset)
{
    struct vfs *v = vfs_of(file);
    uint64_t at = (uint64_t)offset, bytes = journal_bytes(v);
    uint64_t there = at >= bytes ? 0 : MIN((uint64_t)amount, bytes - at);

    for (uint64_t done = 0; done < there;) {
        uint64_t inside = (at + done) % VFS_WINDOW, n = MIN(there - done, VFS_WINDOW - inside);
        int rc = window_move(v, at + done);

        if (rc != SQLITE_OK) {
            return rc;
        }
        memcpy((uint8_t *)buffer + done, v->window + inside, n);
        done += n;
    }
    memset((uint8_t *)buffer + there, 0, (size_t)amount - there);
    return there == (uint64_t)amount ? SQLITE_OK : SQLITE_IOERR_SHORT_READ;
}

static void window_fill(struct vfs *v, uint32_t inside, const uint8_t *data, uint32_t length)
{
    uint32_t from = ALIGN_DOWN(inside, DISK_SECTOR), to = ALIGN_UP(inside + length, DISK_SECTOR);
    bool clean = v->dirty_from == v->dirty_to;

    memcpy(v->window + inside, data, length);
    v->dirty_from = clean ? from : MIN(v->dirty_from, from);
    v->dirty_to = clean ? to : MAX(v->dirty_to, to);
}

static int journal_write(sqlite3_file *file, const void *buffer, int amount, sqlite3_int64 offset)
{
    struct vfs *v = vfs_of(file);
    uint64_t at = (uint64_t)offset, length = (uint64_t)amount;

    if (v->failed) {
        return SQLITE_IOERR_WRITE;
    }
    if (at + length > journal_bytes(v) - JOURNAL_SPARE) {
        return SQLITE_FULL;
    }
    for (uint64_t done = 0; done < length;) {
        uint32_t inside = (uint32_t)((at + done) % VFS_WINDOW);
        uint32_t n = (uint32_t)MIN(length - done, VFS_WINDOW - inside);
        int rc = window_move(v, at + done);

        if (rc != SQLITE_OK) {
            return rc;
        }
        window_fill(v, inside, (const uint8_t *)buffer + done, n);
        done += n;
    }
    return SQLITE_OK;
}

static int journal_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    (void)file;
    (void)size;
    return SQLITE_OK; // what lies behind the end SQLite tells from its own checksums
}

static int journal_sync(sqlite3_file *file, int flags)
{
    struct vfs *v = vfs_of(file);
    int rc = window_clean(v);

    (void)flags;
    return rc != SQLITE_OK ? rc : v->failed ? SQLITE_IOERR_FSYNC : flush(v);
}

static int journal_size(sqlite3_file *file, sqlite3_int64 *size)
{
    *size = (sqlite3_int64)journal_bytes(vfs_of(file));
    return SQLITE_OK;
}

// --- what both files share ---

static int file_close(sqlite3_file *file)
{
    file->pMethods = NULL;
    return SQLITE_OK;
}

// Nobody else has the files.
static int file_lock(sqlite3_file *file, int level)
{
    (void)file;
    (void)level;
    return SQLITE_OK;
}

static int file_reserved(sqlite3_file *file, int *out)
{
    (void)file;
    *out = 0;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
    (void)file;
    (void)op;
    (void)arg;
    return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *file)
{
    (void)file;
    return BLOCK;
}

static int file_characteristics(sqlite3_file *file)
{
    (void)file;
    return 0; // nothing that a disk does not promise
}

static const sqlite3_io_methods database_methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = database_read,
    .xWrite = database_write,
    .xTruncate = database_truncate,
    .xSync = database_sync,
    .xFileSize = database_size,
    .xLock = file_lock,
    .xUnlock = file_lock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

static const sqlite3_io_methods journal_methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = journal_read,
    .xWrite = journal_write,
    .xTruncate = journal_truncate,
    .xSync = journal_sync,
    .xFileSize = journal_size,
    .xLock = file_lock,
    .xUnlock = file_lock,
    .xCheckReservedLock = file_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

// --- the VFS ---

static bool is_journal(const char *name)
{
    return strcmp(name, VFS_DATABASE "-journal") == 0;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
    struct vfs_file *f = (struct vfs_file *)file;

    (void)vfs;
    f->base.pMethods = NULL;
    f->vfs = attached;
    if (attached == NULL || name == NULL) {
        return SQLITE_CANTOPEN; // temporary files are kept in memory and never come here
    }
    if ((flags & SQLITE_OPEN_MAIN_DB) && strcmp(name, VFS_DATABASE) == 0) {
        f->base.pMethods = &database_methods;
    } else if ((flags & SQLITE_OPEN_MAIN_JOURNAL) && is_journal(name)) {
        f->base.pMethods = &journal_methods;
    } else {
        return SQLITE_CANTOPEN;
    }
    if (out_flags != NULL) {
        *out_flags = flags;
    }
    return SQLITE_OK;
}

// A journal is as good as deleted when its first bytes are zero.
static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    static const uint8_t zero[DISK_SECTOR];
    struct vfs_file file = {.vfs = attached};
    int rc;

    (void)vfs;
    (void)sync_dir;
    if (!is_journal(name)) {
        return SQLITE_IOERR_DELETE_NOENT;
    }
    rc = journal_write(&file.base, zero, sizeof zero, 0);
    return rc != SQLITE_OK ? rc : journal_sync(&file.base, 0);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    (void)vfs;
    (void)flags;
    *out = strcmp(name, VFS_DATABASE) == 0 || is_journal(name);
    return SQLITE_OK;
}

static int vfs_full_pathname(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
    (void)vfs;
    sqlite3_snprintf(size, out, "%s", name);
    return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs;
    plat_random(out, (size_t)size);
    return size;
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    return microseconds; // only busy handlers sleep, and nothing is ever busy
}

static int vfs_current_time(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
    (void)vfs;
    *out = plat_unix_ms() + UNIX_EPOCH_JULIAN_MS;
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *out)
{
    (void)vfs;
    (void)size;
    (void)out;
    return 0;
}

static sqlite3_vfs keelson_vfs = {
    .iVersion = 2,
    .szOsFile = sizeof(struct vfs_file),
    .mxPathname = 64,
    .zName = VFS_NAME,
    .xOpen = vfs_open,
    .xDelete = vfs_delete,
    .xAccess = vfs_access,
    .xFullPathname = vfs_full_pathname,
    .xRandomness = vfs_randomness,
    .xSleep = vfs_sleep,
    .xCurrentTimeInt64 = vfs_current_time,
    .xGetLastError = vfs_last_error,
};

int sqlite3_os_init(void)
{
    return sqlite3_vfs_register(&keelson_vfs, 1);
}

int sqlite3_os_end(void)
{
    return SQLITE_OK;
}

bool vfs_attach(struct vfs *v, struct worker *worker, const struct layout_super *super)
{
    memset(v, 0, offsetof(struct vfs, window));
    v->worker = worker;
    v->super = super;
    if (attached != NULL || !read_lengths(v)) {
        return false;
    }
    attached = v;
    return true;
}

void vfs_detach(struct vfs *v)
{
    if (attached == v) {
        attached = NULL;
    }
}
