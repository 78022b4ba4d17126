/* A peer that holds the keys and says anything: bytes as the plaintext of packets that verify. */
#include "check.h"
#include "input.h"
#include "snapshot.h"
#include "sodium_table.h"

enum { MOST_PACKETS = 8 };

static pair p;
static snapshot opened;

static void small(rp_config *client, rp_config *server) {
    for (int i = 0; i < 2; i++) {
        rp_config *config = i ? client : server;
        config->arena_bytes = 16 * 32768;
        config->max_sessions = 2;
        config->stream_window = config->session_window = 65536;
    }
}

/* What an application does with what it is told. */
static void obey(pair *pair, int side, const rp_event *event) {
    uint8_t bytes[4096];
    int fin;
    rp_core *core = pair->core[side];
    if (event->kind == RP_EVENT_OPENED)
        rp_stream_write(core, event->connection, event->stream, bytes, 3000, 1);
    if (event->kind == RP_EVENT_READABLE)
        rp_stream_read(core, event->connection, event->stream, bytes, sizeof bytes, &fin);
    if (event->kind == RP_EVENT_DATAGRAM) rp_datagram_read(core, event->connection, bytes, sizeof bytes);
}

static void hear_it(int victim, uint8_t manner) {
    while (p.waiting[victim]) pair_deliver(&p, victim, 0);
    p.work = manner & 1 ? obey : NULL;
    pair_poll(&p, victim);
    if (manner & 2) p.now += (uint64_t)manner * 5000;
    rp_core_timeout(p.core[victim], p.now);
    pair_send(&p, victim);
    if (manner & 4)
        while (p.waiting[!victim]) pair_deliver(&p, !victim, 0);
    p.waiting[!victim] = 0; /* otherwise the one who was made to speak does not hear the answer */
}

static void start(void) {
    pair_start(&p, pair_sodium(sodium_table_of_straw()), small);
    pair_open(&p);
    snapshot_keep(&opened, &p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    uint8_t text[PAIR_SAID];
    if (!p.sodium) start();
    snapshot_rewind(&opened, &p);
    int victim = input_byte(&in) & 1;
    for (int i = 0; i < MOST_PACKETS && in.left; i++) {
        uint8_t manner = input_byte(&in);
        size_t wanted = input_number(&in, 2) % (PAIR_SAID + 1);
        if (!pair_say(&p, !victim, text, input_bytes(&in, text, wanted))) break;
        hear_it(victim, manner);
    }
    pair_settle(&p);
    return 0;
}
