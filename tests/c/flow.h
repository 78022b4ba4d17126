/* Bytes that any reader can check: what stands at an offset follows from who wrote it, and where. */
#ifndef FLOW_H
#define FLOW_H

#include "pair.h"

void flow_fill(int side, uint64_t stream, uint64_t offset, uint8_t *bytes, size_t size);
void flow_check(int writer, uint64_t stream, uint64_t offset, const uint8_t *bytes, size_t size);

/* Moves as much as the core takes or has; returns how much that was, or the core's refusal. */
int64_t flow_write(pair *p, int side, uint64_t stream, uint64_t offset, uint64_t size, bool fin);
int64_t flow_read(pair *p, int side, uint64_t stream, uint64_t offset, uint64_t most, bool *fin);

/* A stream that one side opens, and how many bytes each of the two writes before it ends its side. */
typedef struct {
    uint64_t stream;
    int opener;
    uint64_t total[2], written[2], read[2];
    bool ended[2], finished[2]; /* wrote its end · has read the other's */
} flow;

enum { FLOWS = 64 };

/* Flows run by themselves, as events come, once they have become the pair's work. */
void flow_start(pair *p);
flow *flow_open(pair *p, int opener, uint64_t from_opener, uint64_t from_other);
bool flow_done(void); /* all of them, both ways */
/* Lets time run until all are done, which must be within `most`. */
void flow_run(pair *p, uint64_t most);

#endif
