/* What a session did, record by record, while somebody asked for it. */
#ifndef RP_TRACE_H
#define RP_TRACE_H

#include "arena.h"
#include "rp_api.h"

typedef struct {
    rp_trace_record *page; /* null: nobody asked */
    uint32_t head, count, missed;
} rp_trace;

bool rp_trace_start(rp_trace *trace, rp_arena *arena);
void rp_trace_stop(rp_trace *trace, rp_arena *arena);
void rp_trace_add(rp_trace *trace, uint64_t time, uint32_t kind, uint64_t a, uint64_t b);
int rp_trace_read(rp_trace *trace, rp_trace_record *out, int max);

#endif
