#include "trace.h"

enum { RECORDS = RP_PAGE_SIZE / sizeof(rp_trace_record) };

bool rp_trace_start(rp_trace *trace, rp_arena *arena) {
    if (!trace->page) *trace = (rp_trace){.page = rp_pool_take(&arena->pages)};
    return trace->page != NULL;
}

void rp_trace_stop(rp_trace *trace, rp_arena *arena) {
    rp_pool_give(&arena->pages, trace->page);
    *trace = (rp_trace){0};
}

/* The session never waits for its reader: what does not fit is counted instead. */
void rp_trace_add(rp_trace *trace, uint64_t time, uint32_t kind, uint64_t a, uint64_t b) {
    if (!trace->page) return;
    if (trace->count == RECORDS) {
        trace->missed++;
        return;
    }
    trace->page[(trace->head + trace->count++) % RECORDS] =
        (rp_trace_record){.time = time, .a = a, .b = b, .kind = kind, .missed = trace->missed};
    trace->missed = 0;
}

int rp_trace_read(rp_trace *trace, rp_trace_record *out, int max) {
    int taken = 0;
    for (; taken < max && trace->count; taken++) {
        out[taken] = trace->page[trace->head];
        trace->head = (trace->head + 1) % RECORDS;
        trace->count--;
    }
    return taken;
}
