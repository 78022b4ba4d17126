#include "replay.h"

bool rp_replay_fresh(const rp_replay *replay, uint64_t number) {
    if (number >= replay->next) return true;
    if (replay->next - number > RP_REPLAY_WINDOW) return false;
    return !(replay->bits[number / 64 % RP_REPLAY_WORDS] >> number % 64 & 1);
}

void rp_replay_mark(rp_replay *replay, uint64_t number) {
    if (number >= replay->next) {
        uint64_t old = replay->next ? (replay->next - 1) / 64 : 0, new = number / 64;
        uint64_t words = new - old < RP_REPLAY_WORDS ? new - old : RP_REPLAY_WORDS;
        for (uint64_t i = 1; i <= words; i++) replay->bits[(old + i) % RP_REPLAY_WORDS] = 0;
        replay->next = number + 1;
    }
    replay->bits[number / 64 % RP_REPLAY_WORDS] |= (uint64_t)1 << number % 64;
}
