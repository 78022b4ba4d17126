/* libsodium's functions as the core takes them: Debian's library, which has no AEGIS yet. */
#ifndef SODIUM_TABLE_H
#define SODIUM_TABLE_H

#include "rp_api.h"

const rp_sodium *sodium_table(void);

/* The same, but Diffie-Hellman is an XOR: what is fuzzed a million times has no time for curves. */
const rp_sodium *sodium_table_without_curves(void);

/* The keys of an endpoint whose Ed25519 seed is 32 times this byte, put into `config`. */
void sodium_table_identity(const rp_sodium *sodium, uint8_t seed, rp_config *config);

#endif
