// SPDX-License-Identifier: Apache-2.0
// Small files that options name.
#ifndef KEELCTL_FILE_H
#define KEELCTL_FILE_H

// The text of a file of at most 1 MiB, or of standard input for "-", with a NUL behind; from malloc(). NULL: not
// readable, and said.
char *file_read(const char *name);

#endif
