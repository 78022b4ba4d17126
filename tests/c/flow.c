#include "flow.h"

#include "check.h"

enum { PIECE = 16384 };

static uint8_t byte_at(int side, uint64_t stream, uint64_t offset) {
    return (uint8_t)(offset * 7 + offset / 239 + stream * 13 + (uint64_t)side * 101);
}

void flow_fill(int side, uint64_t stream, uint64_t offset, uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) bytes[i] = byte_at(side, stream, offset + i);
}

void flow_check(int writer, uint64_t stream, uint64_t offset, const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++) CHECK_EQUAL(bytes[i], byte_at(writer, stream, offset + i));
}

int64_t flow_write(pair *p, int side, uint64_t stream, uint64_t offset, uint64_t size, bool fin) {
    static uint8_t bytes[PIECE];
    uint64_t done = 0;
    do {
        size_t piece = size - done < PIECE ? (size_t)(size - done) : PIECE;
        flow_fill(side, stream, offset + done, bytes, piece);
        bool last = done + piece == size;
        int64_t taken = rp_stream_write(p->core[side], p->handle[side], stream, bytes, piece, fin && last);
        if (taken < 0) return taken;
        CHECK((size_t)taken <= piece);
        done += (uint64_t)taken;
        if ((size_t)taken < piece) break;
    } while (done < size);
    return (int64_t)done;
}

int64_t flow_read(pair *p, int side, uint64_t stream, uint64_t offset, uint64_t most, bool *fin) {
    static uint8_t bytes[PIECE];
    uint64_t done = 0;
    int end = 0;
    while (!end && done < most) {
        size_t piece = most - done < PIECE ? (size_t)(most - done) : PIECE;
        int64_t got = rp_stream_read(p->core[side], p->handle[side], stream, bytes, piece, &end);
        if (got < 0) return got;
        CHECK((size_t)got <= piece);
        flow_check(!side, stream, offset + done, bytes, (size_t)got);
        done += (uint64_t)got;
        if (!got) break;
    }
    *fin = end;
    return (int64_t)done;
}

/* ---- flows that run by themselves ---- */

static flow flows[FLOWS];
static int count;

static flow *find(uint64_t stream) {
    for (int i = 0; i < count; i++)
        if (flows[i].stream == stream) return &flows[i];
    return NULL;
}

static void push(pair *p, int side, flow *f) {
    if (f->ended[side]) return;
    uint64_t left = f->total[side] - f->written[side];
    int64_t taken = flow_write(p, side, f->stream, f->written[side], left, true);
    CHECK(taken >= 0);
    f->written[side] += (uint64_t)taken;
    f->ended[side] = (uint64_t)taken == left;
}

static void pull(pair *p, int side, flow *f) {
    bool fin = false;
    if (f->finished[side]) return;
    int64_t got = flow_read(p, side, f->stream, f->read[side], UINT64_MAX, &fin);
    CHECK(got >= 0);
    f->read[side] += (uint64_t)got;
    if (!fin) return;
    f->finished[side] = true;
    CHECK_EQUAL(f->read[side], f->total[!side]);
}

static void work(pair *p, int side, const rp_event *event) {
    flow *f = find(event->stream);
    if (!f || event->connection != p->handle[side]) return;
    if (event->kind == RP_EVENT_OPENED || event->kind == RP_EVENT_WRITABLE) push(p, side, f);
    if (event->kind == RP_EVENT_READABLE) pull(p, side, f);
}

void flow_start(pair *p) {
    count = 0;
    p->work = work;
}

flow *flow_open(pair *p, int opener, uint64_t from_opener, uint64_t from_other) {
    flow *f = &flows[count++];
    int64_t id = rp_stream_open(p->core[opener], p->handle[opener], 4);
    CHECK(count <= FLOWS && id >= 0);
    *f = (flow){.stream = (uint64_t)id, .opener = opener};
    f->total[opener] = from_opener;
    f->total[!opener] = from_other;
    push(p, opener, f);
    return f;
}

bool flow_done(void) {
    for (int i = 0; i < count; i++)
        if (!flows[i].finished[CLIENT] || !flows[i].finished[SERVER]) return false;
    return true;
}

void flow_run(pair *p, uint64_t most) {
    uint64_t until = p->now + most;
    bool more = true;
    while (more && !flow_done()) more = pair_step(p, until);
    CHECK(flow_done());
}
