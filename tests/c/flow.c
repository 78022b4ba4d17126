#include "flow.h"

#include "chance.h"
#include "check.h"

enum { PIECE = 16384, PERIOD = 65521 }; /* a prime: no page looks like another */

/* The bytes that every flow runs through, round and round; where it begins tells the flows apart. */
static const uint8_t *bytes_at(int side, uint64_t stream, uint64_t offset) {
    static uint8_t loop[PERIOD + PIECE];
    static bool made;
    if (!made) {
        chance c = {7};
        chance_fill(&c, loop, PERIOD);
        memcpy(loop + PERIOD, loop, PIECE);
        made = true;
    }
    return loop + (offset + stream * 1009 + (uint64_t)side * 30011) % PERIOD;
}

void flow_fill(int side, uint64_t stream, uint64_t offset, uint8_t *bytes, size_t size) {
    for (size_t done = 0, run; done < size; done += run) {
        run = size - done < PIECE ? size - done : PIECE;
        memcpy(bytes + done, bytes_at(side, stream, offset + done), run);
    }
}

void flow_check(int writer, uint64_t stream, uint64_t offset, const uint8_t *bytes, size_t size) {
    for (size_t done = 0, run; done < size; done += run) {
        run = size - done < PIECE ? size - done : PIECE;
        CHECK_BYTES(bytes + done, bytes_at(writer, stream, offset + done), run);
    }
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
