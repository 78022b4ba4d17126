/* A pair as it was at one moment, and back to that: far cheaper than cores and a handshake for each input. */
#ifndef SNAPSHOT_H
#define SNAPSHOT_H

#include "guard.h"
#include "pair.h"

enum { SNAPSHOT_TABLES = 9, SNAPSHOT_POOLS = 4 };

typedef struct {
    void *at;
    size_t size;
    uint8_t *bytes;
} snapshot_table;

typedef struct {
    int64_t handle[2];
    uint64_t now;
    snapshot_table tables[2][SNAPSHOT_TABLES]; /* the core itself, and what it allocated beside the arena */
    guard_copy pools[2][SNAPSHOT_POOLS];
} snapshot;

void snapshot_keep(snapshot *kept, const pair *p); /* nothing waits on the line */
void snapshot_rewind(const snapshot *kept, pair *p);

#endif
