/* Two cores joined by a line in memory, in virtual time: what one sends stands on the line until it
 * is let through. Tests let time run by itself; fuzzers decide over every datagram. */
#ifndef PAIR_H
#define PAIR_H

#include <stdbool.h>

#include "rp_api.h"

enum { CLIENT, SERVER };
enum { PAIR_LINE = 512, PAIR_DATAGRAM = 1500, PAIR_EVENTS = 256, PAIR_SAID = 1100, PAIR_SECOND = 1000000 };

typedef struct {
    uint64_t due;
    rp_address from, to;
    uint16_t size;
    uint8_t ecn;
    uint8_t data[PAIR_DATAGRAM];
} pair_datagram;

typedef struct pair pair;

struct pair {
    const rp_sodium *sodium;
    rp_config config[2];
    rp_core *core[2];
    rp_address address[2];
    int64_t handle[2]; /* of the session between them; 0 = none */
    uint64_t now, delay;
    bool (*passes)(pair *p, int to, pair_datagram *d); /* null: every datagram does; may change it */
    void (*work)(pair *p, int side, const rp_event *event);
    int event_count[2];
    uint64_t sent[2], dropped; /* datagrams; dropped by `passes` or because the line was full */
    uint32_t turns;            /* at one instant: a core that never rests is caught by it */

    uint16_t line[2][PAIR_LINE], waiting[2]; /* places in `slots`, those that wait first */

    rp_event events[2]
                   [PAIR_EVENTS]; /* those not yet asked for; from here on nothing is cleared at the start */
    pair_datagram slots[2][PAIR_LINE]; /* towards each side */
};

/* Settings that most tests use; `side` gives the identity and the random numbers. */
void pair_settings(const rp_sodium *sodium, int side, rp_config *out);
/* Fills `p` with two such cores; `change` (or null) may alter their settings first. */
void pair_start(pair *p, const rp_sodium *sodium, void (*change)(rp_config *client, rp_config *server));
void pair_free(pair *p);

rp_target pair_target(const pair *p);
void pair_call(pair *p); /* the client calls the server: nothing has been sent yet */
void pair_open(pair *p); /* and both have established the session */

/* Ends whatever sessions there are, and checks that neither core has kept anything. */
void pair_settle(pair *p);

/* Everything that a core has to send now goes onto the line. */
void pair_send(pair *p, int from);
pair_datagram *pair_waiting(pair *p, int to, int place);
void pair_deliver(pair *p, int to, int place);
/* Those in front that are of one size, in one buffer as UDP_GRO does it; the last may be shorter. */
void pair_deliver_run(pair *p, int to);
void pair_discard(pair *p, int to, int place);
/* Bytes from nowhere, as if they had come from the other side. */
void pair_inject(pair *p, int to, const rp_address *from, const uint8_t *data, size_t size);
void pair_poll(pair *p, int side);

/* Lets what is due happen, or else time pass until something is; false when nothing is left, or only
 * what comes after `until`. */
bool pair_step(pair *p, uint64_t until);
void pair_run(pair *p, uint64_t duration);

/* Takes the first event of that kind out of those that came; false when there was none. */
bool pair_event(pair *p, int side, uint8_t kind, rp_event *out);
rp_counters pair_counters(const pair *p, int side);
rp_stats pair_stats(const pair *p, int side);
/* All packets that this core refused, whatever the cause. */
uint64_t pair_refused(const pair *p, int side);

/* A table whose sealing can be bent: while `pair_says` holds a text, that is what packets carry. */
const rp_sodium *pair_sodium(const rp_sodium *sodium);
/* One authentic packet with these frames, at most PAIR_SAID bytes, and a little padding behind them stands
 * on the line afterwards; false when there is no session. */
bool pair_say(pair *p, int from, const uint8_t *frames, size_t size);

#endif
