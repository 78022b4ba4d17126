#include "pair.h"

#include "check.h"
#include "core.h"
#include "sodium_table.h"

enum { BATCH = 64, BUFFER = 128 * 1024, DELAY = 10000, MANY_TURNS = 5000 };

static const uint64_t ARENA = 64 * 32768;

void pair_settings(const rp_sodium *sodium, int side, rp_config *out) {
    *out = (rp_config){
        .has_identity = 1,
        .listen = side == SERVER,
        .suites = RP_SUITE_XCHACHA20,
        .controller = RP_CC_CUBIC,
        .mtu = 1200,
        .max_sessions = 4,
        .max_streams = 16,
        .arena_bytes = ARENA,
        .stream_window = 256 * 1024,
        .session_window = 512 * 1024,
        .idle_timeout = 30 * PAIR_SECOND,
        .handshake_timeout = 10 * PAIR_SECOND,
        .patience = 60 * PAIR_SECOND,
        .rekey_time = (uint64_t)120 * PAIR_SECOND,
        .rekey_packets = 1 << 30,
        .ratchet_time = (uint64_t)3600 * PAIR_SECOND,
        .cookie_after = 100,
        .max_secrets = 4,
        .patterns = 15,
    };
    memset(out->seed, 0x10 + side, sizeof out->seed);
    memset(out->reset_key, 0x20 + side, sizeof out->reset_key);
    sodium_table_identity(sodium, (uint8_t)(1 + side), out);
}

void pair_start(pair *p, const rp_sodium *sodium, void (*change)(rp_config *client, rp_config *server)) {
    memset(p, 0, offsetof(pair, events));
    p->sodium = sodium;
    p->now = PAIR_SECOND;
    p->delay = DELAY;
    for (uint16_t i = 0; i < PAIR_LINE; i++) p->line[CLIENT][i] = p->line[SERVER][i] = i;
    for (int side = 0; side < 2; side++) {
        pair_settings(sodium, side, &p->config[side]);
        p->address[side] =
            (rp_address){.ip = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = (uint8_t)(1 + side)},
                         .port = (uint16_t)(7000 + side)};
    }
    if (change) change(&p->config[CLIENT], &p->config[SERVER]);
    for (int side = 0; side < 2; side++)
        CHECK_EQUAL(rp_core_new(&p->config[side], sodium, p->now, &p->core[side]), 0);
}

void pair_free(pair *p) {
    for (int side = 0; side < 2; side++) rp_core_free(p->core[side]);
}

/* ---- the line ---- */

/* The slots that are free stand behind those that wait. */
static void put_on_line(pair *p, int to, const rp_datagram *run, size_t at, size_t size) {
    if (p->waiting[to] == PAIR_LINE || size > PAIR_DATAGRAM) {
        p->dropped++;
        return;
    }
    uint16_t slot = p->line[to][p->waiting[to]];
    pair_datagram *d = &p->slots[to][slot];
    d->due = p->now + p->delay;
    d->from = p->address[!to];
    d->to = run->peer;
    d->size = (uint16_t)size;
    d->ecn = run->ecn;
    memcpy(d->data, run->data + at, size);
    p->sent[!to]++;
    if (p->passes && !p->passes(p, to, d))
        p->dropped++;
    else
        p->waiting[to]++;
}

void pair_send(pair *p, int from) {
    static uint8_t buffer[BUFFER];
    rp_datagram batch[BATCH];
    int count;
    rp_core_answer(p->core[from], 2 * RP_CALLERS, p->now);
    while ((count = rp_core_transmit(p->core[from], batch, BATCH, buffer, sizeof buffer, p->now)) > 0)
        for (int i = 0; i < count; i++)
            for (size_t at = 0; at < batch[i].size; at += batch[i].segment) {
                size_t left = batch[i].size - at;
                put_on_line(p, !from, &batch[i], at, left < batch[i].segment ? left : batch[i].segment);
            }
}

pair_datagram *pair_waiting(pair *p, int to, int place) { return &p->slots[to][p->line[to][place]]; }

void pair_discard(pair *p, int to, int place) {
    uint16_t slot = p->line[to][place];
    memmove(&p->line[to][place], &p->line[to][place + 1], (size_t)(--p->waiting[to] - place) * sizeof slot);
    p->line[to][p->waiting[to]] = slot;
}

/* In memory of exactly its size, so that reading past it is noticed. */
static void receive(pair *p, int to, const rp_address *from, const uint8_t *data, size_t size, uint8_t ecn) {
    uint8_t *copy = malloc(size + !size);
    memcpy(copy, data, size);
    rp_datagram d = {.data = copy, .size = (uint32_t)size, .ecn = ecn, .peer = *from};
    rp_core_receive(p->core[to], &d, 1, p->now);
    free(copy);
}

void pair_deliver(pair *p, int to, int place) {
    const pair_datagram *d = pair_waiting(p, to, place);
    receive(p, to, &d->from, d->data, d->size, d->ecn);
    pair_discard(p, to, place);
}

static bool alike(const pair_datagram *a, const pair_datagram *b) {
    return a->ecn == b->ecn && memcmp(&a->from, &b->from, sizeof a->from) == 0;
}

static int run_length(pair *p, int to, size_t *size) {
    const pair_datagram *first = pair_waiting(p, to, 0), *d = first;
    int count = 1;
    *size = first->size;
    for (; count < p->waiting[to] && d->size == first->size; count++) {
        d = pair_waiting(p, to, count);
        if (d->size > first->size || *size + d->size > RP_MAX_DATAGRAM || !alike(d, first)) break;
        *size += d->size;
    }
    return count;
}

void pair_deliver_run(pair *p, int to) {
    const pair_datagram *first = pair_waiting(p, to, 0);
    rp_datagram run = {.segment = first->size, .ecn = first->ecn, .peer = first->from};
    size_t size, at = 0;
    int count = run_length(p, to, &size);
    run.size = (uint32_t)size;
    run.data = malloc(size);
    for (; count--; pair_discard(p, to, 0)) {
        const pair_datagram *d = pair_waiting(p, to, 0);
        memcpy(run.data + at, d->data, d->size);
        at += d->size;
    }
    rp_core_receive(p->core[to], &run, 1, p->now);
    free(run.data);
}

void pair_inject(pair *p, int to, const rp_address *from, const uint8_t *data, size_t size) {
    receive(p, to, from, data, size, 0);
}

/* ---- events ---- */

static void note(pair *p, int side, const rp_event *event) {
    if (event->kind == RP_EVENT_ACCEPTED) p->handle[side] = event->connection;
    if (p->work) p->work(p, side, event);
    if (p->event_count[side] == PAIR_EVENTS) /* the oldest is forgotten */
        memmove(p->events[side], p->events[side] + 1, (size_t)--p->event_count[side] * sizeof *event);
    p->events[side][p->event_count[side]++] = *event;
}

void pair_poll(pair *p, int side) {
    rp_event event;
    while (rp_core_poll(p->core[side], &event, 1) == 1) note(p, side, &event);
}

bool pair_event(pair *p, int side, uint8_t kind, rp_event *out) {
    for (int i = 0; i < p->event_count[side]; i++) {
        if (p->events[side][i].kind != kind) continue;
        *out = p->events[side][i];
        size_t behind = (size_t)(--p->event_count[side] - i);
        memmove(&p->events[side][i], &p->events[side][i + 1], behind * sizeof *out);
        return true;
    }
    return false;
}

/* ---- time ---- */

static bool deliver_due(pair *p) {
    bool any = false;
    for (int to = 0; to < 2; to++)
        for (int place = 0; place < p->waiting[to];) {
            if (p->slots[to][p->line[to][place]].due > p->now) {
                place++;
                continue;
            }
            pair_deliver(p, to, place);
            any = true;
        }
    return any;
}

static uint64_t next_instant(const pair *p) {
    uint64_t next = RP_NEVER;
    for (int side = 0; side < 2; side++) {
        uint64_t deadline = rp_core_deadline(p->core[side]);
        if (deadline < next) next = deadline;
        for (int place = 0; place < p->waiting[side]; place++) {
            uint64_t due = p->slots[side][p->line[side][place]].due;
            if (due < next) next = due;
        }
    }
    return next;
}

bool pair_step(pair *p, uint64_t until) {
    for (int side = 0; side < 2; side++) {
        pair_poll(p, side);
        pair_send(p, side);
    }
    CHECK(++p->turns < MANY_TURNS); /* otherwise a deadline in the past wakes a core for nothing */
    if (deliver_due(p)) return true;
    uint64_t next = next_instant(p);
    if (next > until) return false;
    if (next > p->now) {
        p->now = next;
        p->turns = 0;
    }
    for (int side = 0; side < 2; side++) rp_core_timeout(p->core[side], p->now);
    return true;
}

void pair_run(pair *p, uint64_t duration) {
    uint64_t until = p->now + duration;
    bool more = true;
    while (more) more = pair_step(p, until);
    p->now = until;
    p->turns = 0;
}

/* ---- a session ---- */

rp_target pair_target(const pair *p) {
    rp_target target = {.peer = p->address[SERVER], .pattern = RP_PATTERN_IK};
    memcpy(target.key, p->config[SERVER].identity, 32);
    return target;
}

void pair_call(pair *p) {
    rp_target target = pair_target(p);
    p->handle[CLIENT] = rp_core_connect(p->core[CLIENT], &target, p->now);
    CHECK(p->handle[CLIENT] > 0);
}

void pair_open(pair *p) {
    rp_event event;
    pair_call(p);
    pair_run(p, PAIR_SECOND / 2);
    CHECK(pair_event(p, CLIENT, RP_EVENT_CONNECTED, &event));
    CHECK(pair_event(p, SERVER, RP_EVENT_ACCEPTED, &event));
}

static bool all_null(const void *table, size_t size) {
    const uint8_t *bytes = table;
    return !bytes[0] && memcmp(bytes, bytes + 1, size - 1) == 0;
}

/* A pointer that stayed behind would lead into what others borrow next. */
static void check_nothing_kept(const rp_core *core) {
    size_t sessions = (core->session_mask + 1) * sizeof *core->sessions;
    CHECK_EQUAL(core->counters.sessions, 0);
    CHECK_EQUAL(core->half_open, 0);
    CHECK_EQUAL(core->arena.streams.used, 0);
    CHECK_EQUAL(rp_arena_used(&core->arena), 0);
    CHECK_EQUAL(core->heap.count, 0);
    CHECK(!core->ready_first && !core->event_first && !core->told);
    CHECK(all_null(core->conns, core->config.max_sessions * sizeof *core->conns));
    CHECK(all_null(core->sessions, sessions));
    CHECK(all_null(core->inits, sessions));
    CHECK(all_null(core->remotes, sessions));
    CHECK(all_null(core->streams, (core->stream_mask + 1) * sizeof *core->streams));
}

/* Whatever waits arrives, and every deadline within so long comes at once. */
static void leap(pair *p, uint64_t by) {
    for (int side = 0; side < 2; side++) pair_send(p, side);
    for (int side = 0; side < 2; side++)
        while (p->waiting[side]) pair_deliver(p, side, 0);
    p->now += by;
    for (int side = 0; side < 2; side++) {
        rp_core_timeout(p->core[side], p->now);
        pair_poll(p, side);
    }
}

static bool any_session(const pair *p) {
    return p->core[CLIENT]->counters.sessions || p->core[SERVER]->counters.sessions;
}

void pair_settle(pair *p) {
    enum { MOST_LEAPS = 20, MINUTE = 60 * PAIR_SECOND };
    p->passes = NULL;
    p->work = NULL;
    for (int side = 0; side < 2; side++)
        rp_connection_close(p->core[side], p->handle[side], 0, NULL, 0, p->now);
    for (int i = 0; i < MOST_LEAPS && any_session(p); i++) leap(p, MINUTE);
    for (int side = 0; side < 2; side++) {
        check_nothing_kept(p->core[side]);
        p->event_count[side] = 0;
    }
}

rp_counters pair_counters(const pair *p, int side) {
    rp_counters counters;
    rp_core_counters(p->core[side], &counters);
    return counters;
}

rp_stats pair_stats(const pair *p, int side) {
    rp_stats stats;
    CHECK_EQUAL(rp_connection_stats(p->core[side], p->handle[side], &stats), 0);
    return stats;
}

uint64_t pair_refused(const pair *p, int side) {
    rp_counters c = pair_counters(p, side);
    return c.dropped_short + c.dropped_crc + c.dropped_length + c.dropped_type + c.dropped_flags +
           c.dropped_session + c.dropped_auth + c.dropped_replay + c.dropped_mac + c.dropped_handshake +
           c.dropped_memory + c.dropped_state;
}

/* ---- a peer that says what it should not ---- */

static rp_aead_encrypt_fn seal_honestly;
static const uint8_t *says;
static size_t says_size;

static int seal_what_is_said(unsigned char *c, unsigned long long *c_size, const unsigned char *m,
                             unsigned long long m_size, const unsigned char *ad, unsigned long long ad_size,
                             const unsigned char *nsec, const unsigned char *npub, const unsigned char *k) {
    if (says && c == m) { /* packets are sealed in place, handshake messages are not */
        size_t size = says_size < m_size ? says_size : (size_t)m_size;
        memset(c, 0, (size_t)m_size);
        memcpy(c, says, size);
    }
    return seal_honestly(c, c_size, m, m_size, ad, ad_size, nsec, npub, k);
}

const rp_sodium *pair_sodium(const rp_sodium *sodium) {
    static rp_sodium bent;
    bent = *sodium;
    seal_honestly = sodium->chacha20poly1305_ietf_encrypt;
    bent.chacha20poly1305_ietf_encrypt = seal_what_is_said;
    return &bent;
}

bool pair_say(pair *p, int from, const uint8_t *frames, size_t size) {
    static const uint8_t room[PAIR_SAID]; /* a datagram makes a packet that is large enough */
    pair_send(p, from);
    CHECK(size <= sizeof room);
    if (rp_datagram_send(p->core[from], p->handle[from], room, size) != 0) return false;
    says = frames;
    says_size = size;
    pair_send(p, from);
    says = NULL;
    return true;
}
