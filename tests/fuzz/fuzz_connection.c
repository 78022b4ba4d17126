/* Two cores and a line between them: the input says what applications do, which datagrams arrive and
 * when, which are lost, doubled, bent or come again. Whatever happens, what is read is what was
 * written; afterwards, when the line is good, everything arrives; and in the end nothing is kept.
 * When a session is over another may follow, while the first one's datagrams still come. */
#include "check.h"
#include "core.h"
#include "flow.h"
#include "input.h"
#include "snapshot.h"
#include "sodium_table.h"

enum { KINDS = 4, STREAMS = 24, OLD = 16, MOST_OPERATIONS = 60, MOST_WRITTEN = 60000 };

/* ---- what is known of a stream, by side ---- */

typedef struct {
    uint64_t id;
    uint64_t written[2], read[2];
    bool ended[2], reset[2], stopped[2], finished[2];
} stream;

static pair pairs[KINDS], *p;
static snapshot fresh[KINDS], opened[KINDS]; /* before and after the handshake */
static stream streams[STREAMS];
static int stream_count;
static uint64_t opened_by[2]; /* by each side: the next one's id follows from it */
static bool closed;
static int64_t partner; /* the server's session with the client's present one */
static pair_datagram old[2][OLD];
static int old_count[2];
static uint64_t heard[2]; /* when something last arrived there */

/* ---- four pairs of cores, with settings that lead into different corners ---- */

static void roomy(rp_config *client, rp_config *server) {
    for (int i = 0; i < 2; i++) {
        rp_config *config = i ? client : server;
        config->arena_bytes = 16 * 32768;
        config->max_sessions = 2;
        config->max_streams = 8;
        config->stream_window = config->session_window = 65536;
    }
}

static void narrow(rp_config *client, rp_config *server) {
    roomy(client, server);
    client->stream_window = server->stream_window = 32768;
    client->session_window = server->session_window = 32768;
    client->first_packet = server->first_packet = ((uint64_t)1 << 32) - 20;
    client->rekey_packets = server->rekey_packets = 7;
    client->suites = server->suites = RP_SUITE_XCHACHA20 | RP_SUITE_AEGIS256;
}

static void restless(rp_config *client, rp_config *server) {
    roomy(client, server);
    client->keep_alive = server->keep_alive = PAIR_SECOND;
    client->rekey_time = server->rekey_time = PAIR_SECOND / 2;
    client->ratchet_time = server->ratchet_time = PAIR_SECOND;
    client->ecn = server->ecn = 1;
    client->mtu = server->mtu = 1472;
    client->controller = server->controller = RP_CC_BBR;
}

static void wary(rp_config *client, rp_config *server) {
    roomy(client, server);
    client->max_streams = server->max_streams = 24;
    client->controller = RP_CC_BBR;
    client->suites = server->suites = RP_SUITE_XCHACHA20 | RP_SUITE_AEGIS256;
    server->cookie_after = 0;
}

static void start(int kind) {
    static void (*const settings[KINDS])(rp_config *, rp_config *) = {roomy, narrow, restless, wary};
    pair_start(&pairs[kind], sodium_table_of_straw(), settings[kind]);
    snapshot_keep(&fresh[kind], &pairs[kind]);
    pair_open(&pairs[kind]);
    snapshot_keep(&opened[kind], &pairs[kind]);
}

/* ---- applications ---- */

static uint64_t next_id(int side) { return 2 * opened_by[side] + (side == CLIENT ? 0 : 1); }

static void open_stream(int side) {
    if (stream_count == STREAMS) return;
    int64_t id = rp_stream_open(p->core[side], p->handle[side], stream_count % RP_PRIORITIES);
    if (id < 0) return;
    CHECK_EQUAL(id, next_id(side));
    opened_by[side]++;
    streams[stream_count++] = (stream){.id = (uint64_t)id};
}

static void send_short(int side, size_t size) {
    uint8_t bytes[4096];
    if (stream_count == STREAMS) return;
    size %= sizeof bytes;
    flow_fill(side, next_id(side), 0, bytes, size);
    int64_t id = rp_stream_send(p->core[side], p->handle[side], stream_count % RP_PRIORITIES, bytes, size);
    if (id < 0) return;
    CHECK_EQUAL(id, next_id(side));
    opened_by[side]++;
    stream *s = &streams[stream_count++];
    *s = (stream){.id = (uint64_t)id};
    s->written[side] = size;
    s->ended[side] = true;
}

static stream *find(uint64_t id) {
    for (int i = 0; i < stream_count; i++)
        if (streams[i].id == id) return &streams[i];
    CHECK(!"a stream that somebody opened");
    return NULL;
}

static void take_whole(int side, size_t limit) {
    uint8_t buffer[8192];
    rp_whole whole[3];
    int count = rp_core_take_whole(p->core[side], whole, 3, buffer, sizeof buffer, limit % 6000);
    for (int i = 0; i < count; i++) {
        if (whole[i].connection != p->handle[side]) continue;
        stream *s = find(whole[i].stream);
        CHECK(whole[i].size <= limit % 6000 && whole[i].offset + whole[i].size <= sizeof buffer);
        CHECK(!s->stopped[side] && !s->finished[side]);
        flow_check(!side, s->id, s->read[side], buffer + whole[i].offset, whole[i].size);
        s->read[side] += whole[i].size;
        s->finished[side] = true;
        CHECK(s->ended[!side] && s->read[side] == s->written[!side]);
    }
}

static void write_some(int side, stream *s, uint64_t size, bool fin) {
    if (s->written[side] + size > MOST_WRITTEN) return;
    int64_t taken = flow_write(p, side, s->id, s->written[side], size, fin);
    if (taken < 0) return;
    CHECK((!s->ended[side] && !s->reset[side]) || (!taken && !size && !fin));
    s->written[side] += (uint64_t)taken;
    s->ended[side] |= fin && (uint64_t)taken == size;
}

static void read_some(int side, stream *s, uint64_t most) {
    bool fin = false;
    int64_t got = flow_read(p, side, s->id, s->read[side], most, &fin);
    if (got < 0) return;
    CHECK(!s->stopped[side] || !got); /* the end may be told again */
    s->read[side] += (uint64_t)got;
    CHECK(s->read[side] <= s->written[!side]);
    if (!fin) return;
    CHECK(s->ended[!side] && s->read[side] == s->written[!side]);
    s->finished[side] = true;
}

static void abandon(int side, stream *s) {
    if (rp_stream_reset(p->core[side], p->handle[side], s->id, 5) == 0) s->reset[side] = true;
}

static void stop(int side, stream *s) {
    if (rp_stream_stop(p->core[side], p->handle[side], s->id, 6) == 0) s->stopped[side] = true;
}

/* Many small ones, each in a packet of its own, make long records of what is in flight. */
static void use_datagrams(int side, size_t size, size_t count) {
    uint8_t bytes[1200] = {0};
    size = size % sizeof bytes / count;
    for (size_t i = 0; i < count; i++) {
        rp_datagram_send(p->core[side], p->handle[side], bytes, size);
        pair_send(p, side);
    }
    rp_datagram_read(p->core[side], p->handle[side], bytes, size);
}

static void look_around(int side) {
    rp_stats stats;
    rp_trace_record records[8];
    rp_connection_trace(p->core[side], p->handle[side], 1);
    rp_connection_trace_read(p->core[side], p->handle[side], records, 8);
    if (rp_connection_stats(p->core[side], p->handle[side], &stats) != 0) return;
    CHECK(stats.in_flight < 1 << 20);
    CHECK(pair_counters(p, side).protocol_errors == 0);
}

/* ---- sessions ---- */

static void begin_session(void) {
    opened_by[CLIENT] = opened_by[SERVER] = 0;
    stream_count = 0;
    heard[CLIENT] = heard[SERVER] = p->now;
    closed = false;
}

static bool belong_together(int64_t client, int64_t server) {
    const rp_conn *c = rp_core_find_conn(p->core[CLIENT], client);
    const rp_conn *s = rp_core_find_conn(p->core[SERVER], server);
    return c && s && s->remote_session == c->local_session;
}

static void hear(pair *pair, int side, const rp_event *event) {
    if (event->kind == RP_EVENT_ACCEPTED) {
        if (belong_together(pair->handle[CLIENT], event->connection)) partner = event->connection;
        pair->handle[SERVER] = partner;
    }
    if (event->kind == RP_EVENT_CLOSED && event->connection == pair->handle[side]) {
        CHECK(event->cause != RP_CLOSED_PROTOCOL);
        closed = true;
    }
}

static void choose_pair(int kind, bool called) {
    p = &pairs[kind];
    if (!p->sodium) start(kind);
    snapshot_rewind(called ? &fresh[kind] : &opened[kind], p);
    p->address[CLIENT].port = 7000;
    p->work = hear;
    partner = p->handle[SERVER];
    begin_session();
    if (called) pair_call(p);
}

/* The client calls once more; the server learns of it when it may. */
static void call_again(void) {
    rp_target target = pair_target(p);
    int64_t handle = closed ? rp_core_connect(p->core[CLIENT], &target, p->now) : -1;
    if (handle < 0) return;
    p->handle[CLIENT] = handle;
    p->handle[SERVER] = partner = 0;
    begin_session();
}

/* ---- the line ---- */

static void keep_old(int to, const pair_datagram *d) { old[to][old_count[to]++ % OLD] = *d; }

static void deliver(int to, uint8_t which) {
    if (!p->waiting[to]) return;
    int place = which % p->waiting[to];
    keep_old(to, pair_waiting(p, to, place));
    pair_deliver(p, to, place);
    heard[to] = p->now;
}

static void deliver_all(void) {
    for (int to = 0; to < 2; to++) {
        if (!p->waiting[to]) continue;
        for (int place = 0; place < p->waiting[to]; place++) keep_old(to, pair_waiting(p, to, place));
        while (p->waiting[to]) pair_deliver_run(p, to);
        heard[to] = p->now;
    }
}

static void lose(int to, uint8_t which) {
    if (p->waiting[to]) pair_discard(p, to, which % p->waiting[to]);
}

static void again(int to, uint8_t which) {
    int kept = old_count[to] < OLD ? old_count[to] : OLD;
    if (!kept) return;
    const pair_datagram *d = &old[to][which % kept];
    pair_inject(p, to, &d->from, d->data, d->size);
}

/* Damage, or forgery when the CRC is put right; the tag must not let it pass. */
static void bend(int to, uint8_t which, uint16_t at, bool forge) {
    uint8_t bent[PAIR_DATAGRAM];
    if (!p->waiting[to]) return;
    const pair_datagram *d = pair_waiting(p, to, which % p->waiting[to]);
    memcpy(bent, d->data, d->size);
    bent[at / 8 % d->size] ^= (uint8_t)(1 << at % 8);
    if (forge) {
        memset(bent + 16, 0, 4);
        uint32_t crc = rp_crc32(bent, d->size);
        for (int i = 0; i < 4; i++) bent[16 + i] = (uint8_t)(crc >> (24 - 8 * i));
    }
    pair_inject(p, to, &d->from, bent, d->size);
}

static void mark(int to, uint8_t which) {
    if (p->waiting[to]) pair_waiting(p, to, which % p->waiting[to])->ecn |= 3;
}

static void move(uint8_t where) { p->address[CLIENT].port = (uint16_t)(7000 + where % 4); }

/* ---- time ---- */

/* Whatever is due is done; then the next deadline lies ahead, or a core would wake for nothing. */
static void settle_now(void) {
    for (int side = 0; side < 2; side++) {
        int rounds = 0;
        while (rp_core_deadline(p->core[side]) <= p->now) {
            rp_core_timeout(p->core[side], p->now);
            pair_send(p, side);
            CHECK(++rounds < 20);
        }
    }
}

static void advance(uint64_t by) {
    p->now += by;
    settle_now();
}

static void until_next_deadline(void) {
    uint64_t next = RP_NEVER;
    for (int side = 0; side < 2; side++) {
        uint64_t deadline = rp_core_deadline(p->core[side]);
        if (deadline < next) next = deadline;
    }
    if (next != RP_NEVER && next > p->now) p->now = next;
    settle_now();
}

/* ---- one operation ---- */

/* Up to 8,191, but as often below 16: what many bytes can show, few mostly can, and in less time. */
static size_t mostly_few(uint16_t number) { return (size_t)(number & 0x1fff) >> 3 * (number >> 13 & 3); }

static void use_stream(uint8_t what, int side, uint8_t which, uint16_t number) {
    if (!stream_count) return;
    stream *s = &streams[which % stream_count];
    switch (what) {
    case 0:
    case 1:
        write_some(side, s, mostly_few(number), number >> 15);
        break;
    case 2:
        read_some(side, s, number);
        break;
    case 3:
        if (number % 4 == 0) abandon(side, s);
        break;
    default:
        if (number % 4 == 0) stop(side, s);
    }
}

static void use_line(uint8_t what, int side, uint8_t which, uint16_t number) {
    switch (what) {
    case 0:
    case 1:
        deliver(side, which);
        break;
    case 2:
        lose(side, which);
        break;
    case 3:
        again(side, which);
        break;
    case 4:
        bend(side, which, number, number & 1);
        break;
    case 5:
        mark(side, which);
        break;
    default:
        deliver_all();
    }
}

static void use_session(uint8_t what, int side, uint8_t which, uint16_t number) {
    switch (what) {
    case 0:
        use_datagrams(side, mostly_few(number), 1 + (size_t)which % 16);
        break;
    case 4:
        send_short(side, mostly_few(number));
        break;
    case 5:
        take_whole(side, number);
        break;
    case 1:
        look_around(side);
        break;
    case 2:
        move(which);
        break;
    default:
        if (which == 77)
            rp_connection_close(p->core[side], p->handle[side], 1, (const uint8_t *)"end", 3, p->now);
        if (which == 78) call_again();
    }
}

static void operate(input *in) {
    uint8_t what = input_byte(in), which = input_byte(in);
    uint16_t number = (uint16_t)input_number(in, 2);
    int side = what & 1;
    what = (uint8_t)(what >> 1) % 22;
    if (what < 5)
        use_stream(what, side, which, number);
    else if (what < 12)
        use_line((uint8_t)(what - 5), side, which, number);
    else if (what < 18)
        use_session((uint8_t)(what - 12), side, which, number);
    else if (what == 18)
        open_stream(side);
    else if (what == 19)
        advance((uint64_t)number * 10);
    else
        until_next_deadline();
}

/* ---- afterwards ---- */

static bool expects_more(int side, const stream *s) {
    bool known = s->id % 2 == (uint64_t)side || s->read[side] || s->written[!side] || s->ended[!side];
    return known && !s->stopped[side] && !s->stopped[!side] && !s->reset[!side] && !s->finished[side] &&
           (s->read[side] < s->written[!side] || s->ended[!side]);
}

static bool all_arrived(void) {
    for (int i = 0; i < stream_count; i++)
        for (int side = 0; side < 2; side++)
            if (expects_more(side, &streams[i])) return false;
    return true;
}

static void read_all(void) {
    for (int i = 0; i < stream_count; i++)
        for (int side = 0; side < 2; side++)
            if (!streams[i].finished[side]) read_some(side, &streams[i], UINT64_MAX);
}

/* After a long delay a sender rightly waits for as long again before it repeats anything. */
static bool impatient(int side) {
    rp_stats stats;
    if (rp_connection_stats(p->core[side], p->handle[side], &stats) != 0 || !stats.established) return false;
    return stats.rtt + 4 * stats.rtt_var < 4 * (uint64_t)PAIR_SECOND;
}

/* After a long silence the idle limit may end the session before anything is repeated. */
static bool lively(int side) { return impatient(side) && p->now <= heard[side] + 10 * (uint64_t)PAIR_SECOND; }

/* On a line that loses nothing everything gets through, however bad it was before. */
static void calm(void) {
    bool must = !closed && lively(CLIENT) && lively(SERVER), more = true;
    uint64_t until = p->now + 25 * (uint64_t)PAIR_SECOND;
    p->turns = 0;
    while (more && !closed) {
        read_all(); /* which may give the other side credit */
        more = !all_arrived() && pair_step(p, until);
    }
    bool waits = !closed && (!impatient(CLIENT) || !impatient(SERVER));
    CHECK(!must || waits || all_arrived());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    uint8_t kind = input_byte(&in);
    choose_pair(kind % KINDS, kind & 0x80);
    old_count[CLIENT] = old_count[SERVER] = 0;
    for (int i = 0; i < MOST_OPERATIONS && in.left; i++) {
        operate(&in);
        settle_now();
        for (int side = 0; side < 2; side++) {
            if (kind & 0x40) take_whole(side, 3000);
            pair_poll(p, side);
        }
    }
    calm();
    pair_settle(p);
    return 0;
}
