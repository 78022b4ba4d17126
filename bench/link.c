/* A link between two TAP devices, each in a network namespace of its own: loss, a queue that drops its tail,
 * rate, delay. It stands in for netem, which many kernels lack, and knows how long its queue was.
 *
 *   link NAMESPACE_A NAMESPACE_B NAME=NUMBER...
 *
 *     mtu         of both devices                                             (1500)
 *     rate        bits a second each way, counted in Ethernet frames          (0: as fast as it goes)
 *     queue_us    how long the queue may grow, in time that it takes to empty (0)
 *     delay_us    from the end of the queue to the other side                 (0)
 *     loss        chance that a frame from A to B is lost                     (0)
 *     loss_back   the same from B to A                                        (0)
 *     burst       mean number of frames lost in a row; above 1 Gilbert's model with the same mean loss (1)
 *     seed        of chance                                                   (1)
 *
 * It says "ready" when both devices stand, answers each byte on stdin with one line of JSON that tells what
 * happened since the last, and ends when stdin does: so it never outlives who started it. */

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define DEVICE "wire"
#define SECOND 1000000000ull
#define NEVER UINT64_MAX
#define TICK                                                                                                 \
    100000        /* ns: frames are handled at most so often, in batches; this is what it costs in accuracy */
#define BATCH 512 /* frames taken in before some are let out */
#define ETHERNET 14                /* bytes of header before the MTU */
#define ROOM_UNLIMITED (64u << 20) /* bytes under way on a link without a rate */
#define BUCKETS 1024               /* of the histogram of waiting times, over 0 to queue_us */

typedef struct {
    double mtu, rate, queue_us, delay_us, loss, loss_back, burst, seed;
} options;

/* A frame under way; its bytes follow. */
typedef struct {
    uint64_t due;
    uint64_t length;
} frame;

/* Frames in the order of their departure, in a ring where none is split: what does not fit before the end
 * begins anew at 0, and `wrap` says where the last one before that ended. */
typedef struct {
    unsigned char *bytes;
    size_t size, head, tail, wrap;
} ring;

typedef struct {
    uint64_t in, out, bytes, lost, dropped, failed;
    uint64_t waits[BUCKETS + 1];
} counters;

typedef struct {
    int from, to;
    double loss;
    bool in_burst;
    uint64_t line_free; /* when the last frame in the queue will have left it */
    ring under_way;
    counters count;
} direction;

static struct {
    options asked;
    uint64_t delay, queue; /* ns */
    size_t largest;        /* bytes of a frame */
    uint64_t chance;
    uint64_t late, latest, emitted; /* ns behind time: their sum, the worst, over how many frames */
    direction ways[2];
} state = {.asked = {.mtu = 1500, .burst = 1, .seed = 1}};

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t clock_of(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static uint64_t now(void) { return clock_of(CLOCK_MONOTONIC); }

/* splitmix64, as a fraction of 1 */
static double random_fraction(void) {
    uint64_t z = (state.chance += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* ---- the ring ---- */

static void ring_open(ring *r, size_t size) {
    r->size = size;
    r->bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (r->bytes == MAP_FAILED) fail("memory");
}

static bool ring_empty(const ring *r) { return r->head == r->tail; }

static frame *ring_first(ring *r) { return (frame *)(void *)(r->bytes + r->head); }

/* Room for one frame of the largest size, or NULL. */
static frame *ring_room(ring *r) {
    const size_t need = sizeof(frame) + state.largest + 8;
    if (ring_empty(r)) r->head = r->tail = 0;
    if (r->tail >= r->head && r->size - r->tail < need) {
        if (r->head < need) return NULL;
        r->wrap = r->tail;
        r->tail = 0;
    } else if (r->tail < r->head && r->head - r->tail < need) {
        return NULL;
    }
    return (frame *)(void *)(r->bytes + r->tail);
}

static size_t frame_size(const frame *f) { return (sizeof *f + f->length + 7) & ~(size_t)7; }

static void ring_push(ring *r, const frame *f) { r->tail += frame_size(f); }

static void ring_pop(ring *r) {
    r->head += frame_size(ring_first(r));
    if (r->head == r->wrap && r->tail < r->head) r->head = 0;
}

/* ---- what happens to a frame ---- */

static bool is_lost(direction *way) {
    const double leave = 1 / state.asked.burst;
    if (way->loss <= 0) return false;
    if (state.asked.burst <= 1) return random_fraction() < way->loss;
    way->in_burst =
        way->in_burst ? random_fraction() >= leave : random_fraction() < way->loss * leave / (1 - way->loss);
    return way->in_burst;
}

/* When a frame that comes now will have passed the line; NEVER if the queue is full. */
static uint64_t pass_line(direction *way, uint64_t length, uint64_t time) {
    const uint64_t wait = way->line_free > time ? way->line_free - time : 0;
    if (state.asked.rate <= 0) return time;
    if (wait > state.queue) return NEVER;
    way->count.waits[state.queue ? wait * BUCKETS / state.queue : 0]++;
    way->line_free = time + wait + (uint64_t)((double)length * 8e9 / state.asked.rate);
    return way->line_free;
}

static void take_in(direction *way) {
    static _Alignas(frame) unsigned char scrap[sizeof(frame) + (1 << 16)] = {0};
    for (int turn = 0; turn < BATCH; turn++) {
        frame *f = ring_room(&way->under_way);
        const bool full = f == NULL;
        if (full) f = (frame *)(void *)scrap;
        const ssize_t length = read(way->from, f + 1, state.largest);
        if (length <= 0) return;
        way->count.in++;
        if (is_lost(way)) {
            way->count.lost++;
            continue;
        }
        const uint64_t passed = full ? NEVER : pass_line(way, (uint64_t)length, now());
        if (passed == NEVER) {
            way->count.dropped++;
            continue;
        }
        f->due = passed + state.delay;
        f->length = (uint64_t)length;
        ring_push(&way->under_way, f);
    }
}

static void let_out(direction *way) {
    uint64_t time = now();
    while (!ring_empty(&way->under_way)) {
        const frame *f = ring_first(&way->under_way);
        if (f->due > time && f->due > (time = now())) return;
        const uint64_t late = time - f->due;
        state.late += late;
        state.latest = late > state.latest ? late : state.latest;
        state.emitted++;
        if (write(way->to, f + 1, f->length) == (ssize_t)f->length) {
            way->count.out++;
            way->count.bytes += f->length;
        } else {
            way->count.failed++;
        }
        ring_pop(&way->under_way);
    }
}

static uint64_t next_due(void) {
    uint64_t next = NEVER;
    for (int i = 0; i < 2; i++) {
        ring *r = &state.ways[i].under_way;
        if (!ring_empty(r) && ring_first(r)->due < next) next = ring_first(r)->due;
    }
    return next;
}

/* ---- what it tells ---- */

/* The time in µs that a fraction of the frames waited at most. */
static double waited(const counters *count, double fraction) {
    uint64_t all = 0, below = 0;
    for (int i = 0; i <= BUCKETS; i++) all += count->waits[i];
    for (int i = 0; i <= BUCKETS; i++) {
        below += count->waits[i];
        if ((double)below >= fraction * (double)all) return i * state.asked.queue_us / BUCKETS;
    }
    return 0;
}

static void tell_way(const char *name, const counters *count) {
    printf(
        ", \"%s\": {\"in\": %lu, \"out\": %lu, \"bytes\": %lu, \"lost\": %lu, \"dropped\": %lu, \"failed\": "
        "%lu, \"queue_p50_us\": %.0f, \"queue_p99_us\": %.0f}",
        name, count->in, count->out, count->bytes, count->lost, count->dropped, count->failed,
        waited(count, 0.5), waited(count, 0.99));
}

static void tell(void) {
    static uint64_t cpu_told;
    const uint64_t cpu = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    printf("{\"cpu_s\": %.6f, \"late_mean_us\": %.1f, \"late_max_us\": %.1f", (double)(cpu - cpu_told) / 1e9,
           state.emitted ? (double)state.late / (double)state.emitted / 1e3 : 0, (double)state.latest / 1e3);
    tell_way("there", &state.ways[0].count);
    tell_way("back", &state.ways[1].count);
    puts("}");
    fflush(stdout);
    cpu_told = cpu;
    state.late = state.latest = state.emitted = 0;
    for (int i = 0; i < 2; i++) memset(&state.ways[i].count, 0, sizeof state.ways[i].count);
}

/* False when whoever asked is gone. */
static bool answer(void) {
    char asked;
    if (read(STDIN_FILENO, &asked, 1) != 1) return false;
    tell();
    return true;
}

/* ---- set-up ---- */

static int open_device(const char *namespace) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    const int space = open(namespace, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) != 0) fail(namespace);
    close(space);
    const int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0) fail("/dev/net/tun");
    memcpy(request.ifr_name, DEVICE, sizeof DEVICE);
    if (ioctl(device, TUNSETIFF, &request) != 0) fail("TUNSETIFF");
    return device;
}

static bool parse(const char *text) {
    const struct {
        const char *name;
        double *value;
    } known[] = {
        {"mtu=", &state.asked.mtu},           {"rate=", &state.asked.rate},
        {"queue_us=", &state.asked.queue_us}, {"delay_us=", &state.asked.delay_us},
        {"loss=", &state.asked.loss},         {"loss_back=", &state.asked.loss_back},
        {"burst=", &state.asked.burst},       {"seed=", &state.asked.seed},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const size_t length = strlen(known[i].name);
        char *end;
        if (strncmp(text, known[i].name, length) != 0) continue;
        *known[i].value = strtod(text + length, &end);
        return *end == 0 && end != text + length && *known[i].value >= 0;
    }
    return false;
}

/* What can be under way at once, twice over: small frames carry a header here that weighs more. */
static size_t room(void) {
    const double time_us = state.asked.queue_us + state.asked.delay_us + 10000;
    if (state.asked.rate <= 0) return ROOM_UNLIMITED;
    return (size_t)(2 * state.asked.rate / 8e6 * time_us) + (1u << 20);
}

static void open_ways(const char *namespace_a, const char *namespace_b) {
    const int a = open_device(namespace_a), b = open_device(namespace_b);
    state.delay = (uint64_t)(state.asked.delay_us * 1e3);
    state.queue = (uint64_t)(state.asked.queue_us * 1e3);
    state.largest = (size_t)state.asked.mtu + ETHERNET;
    state.chance = (uint64_t)state.asked.seed;
    state.ways[0] = (direction){.from = a, .to = b, .loss = state.asked.loss};
    state.ways[1] = (direction){.from = b, .to = a, .loss = state.asked.loss_back};
    for (int i = 0; i < 2; i++) ring_open(&state.ways[i].under_way, room());
}

/* Punctual, where the system lets it: before everything else that runs here, without timer slack. */
static void take_precedence(void) {
    const struct sched_param priority = {.sched_priority = 10};
    prctl(PR_SET_TIMERSLACK, 1);
    sched_setscheduler(0, SCHED_FIFO, &priority);
}

static void pause_until(uint64_t time, struct pollfd *devices) {
    const uint64_t present = now(), wait = time > present ? time - present : 0;
    const struct timespec span = {.tv_sec = (time_t)(wait / SECOND), .tv_nsec = (long)(wait % SECOND)};
    if (ppoll(devices, 3, time == NEVER ? NULL : &span, NULL) < 0 && errno != EINTR) fail("ppoll");
}

int main(int count, char **arguments) {
    for (int i = 3; i < count; i++)
        if (!parse(arguments[i])) count = 0;
    if (count < 3 || state.asked.mtu > 1 << 15 || state.asked.loss > 1 || state.asked.loss_back > 1) {
        fprintf(stderr, "usage: link NAMESPACE_A NAMESPACE_B NAME=NUMBER...; the source tells which\n");
        return 2;
    }
    open_ways(arguments[1], arguments[2]);
    take_precedence();
    puts("ready");
    fflush(stdout);
    struct pollfd watched[] = {
        {STDIN_FILENO, POLLIN, 0}, {state.ways[0].from, POLLIN, 0}, {state.ways[1].from, POLLIN, 0}};
    const bool instant = state.asked.rate <= 0 && state.asked.delay_us <= 0;
    const struct timespec tick = {.tv_nsec = TICK};
    for (;;) {
        pause_until(next_due(), watched);
        for (int i = 0; i < 2; i++) {
            take_in(&state.ways[i]);
            let_out(&state.ways[i]);
        }
        if (watched[0].revents && !answer()) return 0;
        if (!instant) clock_nanosleep(CLOCK_MONOTONIC, 0, &tick, NULL);
    }
}
