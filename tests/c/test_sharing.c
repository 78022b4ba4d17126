/* Flows that share a line and its queue, or have it for themselves: who gets how much of it, and how long the
 * queue stands, in virtual time. */
#include "check.h"
#include "pair.h"
#include "sodium_table.h"

/* BENEATH, WITHIN: bytes of a packet that are not data, of UDP, IP and Ethernet · of our own. */
enum { SECOND = PAIR_SECOND, MOST_FLOWS = 2, SLICE = 500, MTU = 1472, BENEATH = 42, WITHIN = 44 };

typedef struct {
    uint64_t rate, rtt, queue; /* bytes a second; microseconds, and as many that the queue may be long */
    double loss;               /* the part of what leaves towards the server that is lost by chance */
} path;

static const path SLOW = {.rate = 2500000, .rtt = 60000, .queue = 60000};

static struct {
    path path;
    double free_at; /* microseconds: when the line has carried all that waits */
    uint64_t waits, longer_than_an_rtt, chance;
} line;

static struct {
    pair pair;
    int64_t stream;
    uint64_t starts, got, got_before;
} flows[MOST_FLOWS];

static int count;
static uint8_t controllers[MOST_FLOWS];
static const rp_sodium *sodium;

static int number_of(const pair *p) { return p == &flows[0].pair ? 0 : 1; }

static double fraction(void) {
    line.chance = line.chance * 6364136223846793005u + 1442695040888963407u;
    return (double)(line.chance >> 11) / (double)(1ull << 53);
}

/* All flows to the server stand in one queue; what comes back is not held up. */
static bool through_the_line(pair *p, int to, pair_datagram *d) {
    d->due = p->now + line.path.rtt / 2;
    if (to == CLIENT) return true;
    double wait = line.free_at > (double)p->now ? line.free_at - (double)p->now : 0;
    line.waits++;
    line.longer_than_an_rtt += wait > (double)line.path.rtt;
    if (wait > (double)line.path.queue || fraction() < line.path.loss) return false;
    line.free_at = (double)p->now + wait + (double)(d->size + BENEATH) * SECOND / (double)line.path.rate;
    d->due += (uint64_t)(line.free_at - (double)p->now) + 1;
    return true;
}

static void write_all(pair *p) {
    static const uint8_t nothing[65536];
    int64_t stream = flows[number_of(p)].stream;
    while (rp_stream_write(p->core[CLIENT], p->handle[CLIENT], (uint64_t)stream, nothing, sizeof nothing,
                           false) == sizeof nothing) {
    }
}

static void read_all(pair *p, uint64_t stream) {
    static uint8_t bytes[65536];
    int64_t got;
    int fin;
    while ((got = rp_stream_read(p->core[SERVER], p->handle[SERVER], stream, bytes, sizeof bytes, &fin)) > 0)
        flows[number_of(p)].got += (uint64_t)got;
}

static void work(pair *p, int side, const rp_event *event) {
    CHECK(event->kind != RP_EVENT_CLOSED);
    if (side == CLIENT && event->kind == RP_EVENT_CONNECTED) {
        flows[number_of(p)].stream = rp_stream_open(p->core[CLIENT], p->handle[CLIENT], 4);
        write_all(p);
    }
    if (side == CLIENT && event->kind == RP_EVENT_WRITABLE) write_all(p);
    if (side == SERVER && (event->kind == RP_EVENT_OPENED || event->kind == RP_EVENT_READABLE))
        read_all(p, event->stream);
}

static void settings(rp_config *client, rp_config *server) {
    client->controller = server->controller = controllers[count];
    client->mtu = server->mtu = MTU;
    client->arena_bytes = server->arena_bytes = 16 << 20;
    client->stream_window = server->stream_window = 2 << 20;
    client->session_window = server->session_window = 4 << 20;
    client->seed[0] = (uint8_t)(100 + count);
    server->seed[0] = (uint8_t)(200 + count);
}

static void begin(path where) {
    line.path = where;
    line.free_at = 0;
    line.waits = line.longer_than_an_rtt = 0;
    line.chance = 1;
    count = 0;
}

/* One more that sends as much as it may, from so many microseconds after the beginning. */
static void add_flow(uint8_t controller, uint64_t starts) {
    pair *p = &flows[count].pair;
    controllers[count] = controller;
    pair_start(p, sodium, settings);
    p->passes = through_the_line;
    p->work = work;
    flows[count].starts = p->now + starts;
    flows[count].got = 0;
    count++;
}

/* Slice by slice, so that none is ahead of the others by more than the line takes for a packet. */
static void run(uint64_t duration) {
    for (int i = 0; i < count; i++) flows[i].got_before = flows[i].got;
    for (uint64_t passed = 0; passed < duration; passed += SLICE)
        for (int i = 0; i < count; i++) {
            pair *p = &flows[i].pair;
            if (p->now >= flows[i].starts && !p->handle[CLIENT]) pair_call(p);
            pair_run(p, SLICE);
        }
}

static void end(void) {
    for (int i = 0; i < count; i++) pair_free(&flows[i].pair);
}

/* Bytes, in the last run. */
static double moved(int flow) { return (double)(flows[flow].got - flows[flow].got_before); }

static double share_of(int flow) {
    double all = 0;
    for (int i = 0; i < count; i++) all += moved(i);
    return moved(flow) / all;
}

/* The part of what the line could carry, packets whole, that has been read. */
static double used(uint64_t duration) {
    double carried = (double)line.path.rate * (double)duration / SECOND * (1 - line.path.loss);
    return moved(0) / carried * (MTU + BENEATH) / (MTU - WITHIN);
}

static void check_between(const char *what, double least, double value, double most) {
    if (value >= least && value <= most) return;
    fprintf(stderr, "%s: %.3f is not between %.3f and %.3f\n", what, value, least, most);
    exit(1);
}

/* ---- two on one line: it takes a while, whoever comes first ---- */

static void two_come_to_share(uint8_t first, uint8_t second, double least, double most) {
    for (uint64_t later = SECOND / 10; later < SECOND; later += 600000) {
        begin(SLOW);
        add_flow(first, 0);
        add_flow(second, later);
        run(10 * SECOND);
        run(12 * SECOND);
        check_between("the first one's share", least, share_of(0), most);
        end();
    }
}

static void two_of_ours_share(void) { two_come_to_share(RP_CC_BBR, RP_CC_BBR, 0.4, 0.6); }

static void one_that_comes_behind_a_cubic_gets_its_share(void) {
    two_come_to_share(RP_CC_CUBIC, RP_CC_BBR, 0.25, 0.75);
}

static void one_that_comes_before_a_cubic_leaves_it_its_share(void) {
    two_come_to_share(RP_CC_BBR, RP_CC_CUBIC, 0.25, 0.75);
}

/* ---- one alone ---- */

static void alone(path where, double least_used) {
    begin(where);
    add_flow(RP_CC_BBR, 0);
    run(3 * SECOND);
    line.waits = line.longer_than_an_rtt = 0;
    run(6 * SECOND);
    check_between("the part of the line that is used", least_used, used(6 * SECOND), 1.1);
    check_between("the part that waits longer than an RTT", 0,
                  (double)line.longer_than_an_rtt / (double)line.waits, 0.05);
    end();
}

static void one_alone_fills_the_line_and_not_the_queue(void) {
    for (uint64_t quarters = 1; quarters <= 16; quarters *= 4) {
        path where = SLOW;
        where.queue = where.rtt * quarters / 4;
        alone(where, 0.97);
    }
}

static void loss_by_chance_costs_what_is_lost(void) {
    static const double LOSSES[] = {0.01, 0.05};
    for (size_t i = 0; i < sizeof LOSSES / sizeof *LOSSES; i++) {
        path where = SLOW;
        where.loss = LOSSES[i];
        alone(where, 0.98);
    }
}

int main(void) {
    sodium = sodium_table_of_straw();
    RUN(two_of_ours_share);
    RUN(one_that_comes_behind_a_cubic_gets_its_share);
    RUN(one_that_comes_before_a_cubic_leaves_it_its_share);
    RUN(one_alone_fills_the_line_and_not_the_queue);
    RUN(loss_by_chance_costs_what_is_lost);
    return 0;
}
