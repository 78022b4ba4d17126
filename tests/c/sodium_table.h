/* libsodium's functions as the core takes them: Debian's library, which has no AEGIS yet. */
#ifndef SODIUM_TABLE_H
#define SODIUM_TABLE_H

#include "rp_api.h"

const rp_sodium *sodium_table(void);

/* Functions that fit together and keep nothing secret: what is fuzzed a million times has no time for
 * curves. A bent packet still fails its tag. */
const rp_sodium *sodium_table_of_straw(void);

/* The keys of an endpoint whose Ed25519 seed is 32 times this byte, put into `config`. */
void sodium_table_identity(const rp_sodium *sodium, uint8_t seed, rp_config *config);

#endif
