/* Has this packet number been seen? The window of RFC 6479: 8,192 bits, moved a word at a time. */
#ifndef RP_REPLAY_H
#define RP_REPLAY_H

#include <stdbool.h>
#include <stdint.h>

#define RP_REPLAY_WORDS 128
#define RP_REPLAY_WINDOW ((RP_REPLAY_WORDS - 1) * 64) /* 8,128: one word is always being refilled */

typedef struct {
    uint64_t next; /* one past the highest number marked */
    uint64_t bits[RP_REPLAY_WORDS];
} rp_replay;

/* Checked before the tag is verified, marked only after. */
bool rp_replay_fresh(const rp_replay *replay, uint64_t number);
void rp_replay_mark(rp_replay *replay, uint64_t number);

#endif
