// SPDX-License-Identifier: Apache-2.0
// Who may do what: the administrator secret, roles, limits on guessing, the audit trail.
//
// The secret is 128 random bits, made at the first boot (at each one without a store) and shown once on the
// console; only its SHA-256 stays in memory and in the store. A random secret of that length needs no slow hash: guessing it is hopeless, and the limiter
// below keeps guesses from costing anything. Control plane only.
#ifndef MGMT_CORE_AUTH_H
#define MGMT_CORE_AUTH_H

#include <keelson/types.h>

enum auth_role {            // bits; a higher role includes the lower ones
    AUTH_READER = 1,        // look
    AUTH_OPERATOR = 2,      // and start, stop, upload
    AUTH_ADMINISTRATOR = 4, // and everything else
};
#define AUTH_ROLES_READER AUTH_READER
#define AUTH_ROLES_OPERATOR (AUTH_READER | AUTH_OPERATOR)
#define AUTH_ROLES_ADMINISTRATOR (AUTH_READER | AUTH_OPERATOR | AUTH_ADMINISTRATOR)

#define AUTH_SECRET_TEXT 33 // 32 hexadecimal digits and a NUL
#define AUTH_NAME_MAX 63

enum auth_result { AUTH_OK, AUTH_REFUSED, AUTH_LIMITED };

struct auth_identity {
    char name[AUTH_NAME_MAX + 1];
    unsigned roles;
};

// Makes a new administrator secret, which replaces the old one, and writes it to `secret` for the one
// who shows it; the caller must wipe it.
void auth_new_secret(char secret[AUTH_SECRET_TEXT]);

// The digest by which the present secret is known, for a store; and the way back.
#define AUTH_DIGEST 32
#define AUTH_SETTING "auth.secret" // its name there
void auth_get_digest(uint8_t digest[AUTH_DIGEST]);
void auth_set_digest(const uint8_t digest[AUTH_DIGEST]);

// Checks the value of an HTTP Authorization header (RFC 7617 Basic with user "admin", or RFC 6750 Bearer).
// `peer` (address bytes) is whom failures are counted against: after 10 of them that peer is AUTH_LIMITED,
// with one more try every 2 seconds. header NULL: refused, but not counted as a failure.
enum auth_result auth_check(const char *header, const uint8_t *peer, size_t peer_len,
                            struct auth_identity *id);

// One line of the audit trail: who did what, with which outcome.
void auth_audit(const char *who, const char *from, const char *action, const char *outcome);

#endif
