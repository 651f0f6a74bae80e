// SPDX-License-Identifier: Apache-2.0
#include "mgmt/core/keeper.h"

#include "mgmt/core/kept_disk.h"
#include "mgmt/core/kept_upload.h"

static const struct keeper *present;

const struct keeper *keeper(void)
{
    return present;
}

void keeper_set(const struct keeper *k)
{
    present = k;
}

static const struct disk_keeper *disks;

const struct disk_keeper *disk_keeper(void)
{
    return disks;
}

void disk_keeper_set(const struct disk_keeper *k)
{
    disks = k;
}

static const struct upload_keeper *uploads;

const struct upload_keeper *upload_keeper(void)
{
    return uploads;
}

void upload_keeper_set(const struct upload_keeper *k)
{
    uploads = k;
}
