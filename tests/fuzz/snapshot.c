#include "snapshot.h"

#include "check.h"
#include "core.h"

static const rp_pool *pool_of(const rp_core *core, int which) {
    const rp_pool *pools[SNAPSHOT_POOLS] = {&core->arena.blocks, &core->arena.pages, &core->arena.streams,
                                            &core->arena.frames};
    return pools[which];
}

static snapshot_table keep(void *at, size_t size) {
    snapshot_table table = {at, size, malloc(size)};
    memcpy(table.bytes, at, size);
    return table;
}

static void keep_core(snapshot_table *tables, guard_copy *pools, rp_core *core) {
    uint32_t most = core->config.max_sessions, sessions = core->session_mask + 1;
    snapshot_table all[SNAPSHOT_TABLES] = {
        keep(core, sizeof *core),
        keep(core->conns, most * sizeof *core->conns),
        keep(core->generations, most * sizeof *core->generations),
        keep(core->heap.items, most * sizeof *core->heap.items),
        keep(core->sessions, sessions * sizeof *core->sessions),
        keep(core->inits, sessions * sizeof *core->inits),
        keep(core->remotes, sessions * sizeof *core->remotes),
        keep(core->streams, (core->stream_mask + 1) * sizeof *core->streams),
        keep(core->secrets, core->config.max_secrets * sizeof *core->secrets),
    };
    memcpy(tables, all, sizeof all);
    for (int i = 0; i < SNAPSHOT_POOLS; i++) guard_keep(&pools[i], pool_of(core, i));
}

void snapshot_keep(snapshot *kept, const pair *p) {
    CHECK(!p->waiting[CLIENT] && !p->waiting[SERVER]);
    kept->now = p->now;
    memcpy(kept->handle, p->handle, sizeof kept->handle);
    for (int side = 0; side < 2; side++) keep_core(kept->tables[side], kept->pools[side], p->core[side]);
}

void snapshot_rewind(const snapshot *kept, pair *p) {
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < SNAPSHOT_POOLS; i++)
            guard_rewind(&kept->pools[side][i], pool_of(p->core[side], i));
        for (int i = 0; i < SNAPSHOT_TABLES; i++) {
            const snapshot_table *table = &kept->tables[side][i];
            memcpy(table->at, table->bytes, table->size);
        }
    }
    memcpy(p->handle, kept->handle, sizeof p->handle);
    p->now = kept->now;
    p->turns = 0;
    p->waiting[CLIENT] = p->waiting[SERVER] = 0;
    p->event_count[CLIENT] = p->event_count[SERVER] = 0;
}
