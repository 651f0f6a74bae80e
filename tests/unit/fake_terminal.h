// SPDX-License-Identifier: Apache-2.0
// A terminal of endless length for tests of the shell: what the operator would see after what was sent.
#ifndef TESTS_UNIT_FAKE_TERMINAL_H
#define TESTS_UNIT_FAKE_TERMINAL_H

#include <stddef.h>

void terminal_reset(void);
void terminal_put(const char *text, size_t length); // understands CR, LF, BEL, CSI K, CSI n D, CSI 2 J, CSI H
const char *terminal_row(size_t from_bottom);       // UTF-8 without trailing blanks; 0: where the cursor is
size_t terminal_column(void);                       // of the cursor, in code points
const char *terminal_text(void);                    // all rows, each ended by a newline
size_t terminal_bells(void);
size_t terminal_widest(void); // columns of the widest row so far

#endif
