/* Sessions begin, and strangers are answered: INIT, RETRY, ACCEPT, REFUSED, VERSION and RESET. */
#include <string.h>

#include "core.h"

enum { SECOND = 1000000 };

static rp_limits our_limits(const rp_core *core, const rp_conn *c) {
    uint64_t stream = core->config.stream_window;
    return (rp_limits){
        .idle_timeout = core->config.idle_timeout,
        .session_window = c->in_limit,
        .stream_window = stream < RP_FIRST_WINDOW ? stream : RP_FIRST_WINDOW,
        .max_streams = core->config.max_streams,
        .max_datagram = RP_MAX_DATAGRAM,
    };
}

static void fill_setup(rp_core *core, rp_noise_setup *setup, uint8_t pattern, bool initiator) {
    memset(setup, 0, sizeof *setup);
    setup->pattern = pattern;
    setup->initiator = initiator;
    memcpy(setup->static_private, core->config.static_private, 32);
    rp_core_random(core, setup->ephemeral_private, 32);
}

static void reset_token(rp_core *core, uint32_t session, uint8_t *out) {
    uint8_t id[4];
    rp_store32(id, session);
    rp_derive(&core->sodium, core->config.reset_key, 32, "repram v1 reset token", id, sizeof id, out,
              RP_RESET_TOKEN_SIZE);
}

static void fill_hello(rp_core *core, const rp_conn *c, rp_hello *hello) {
    memset(hello, 0, sizeof *hello);
    hello->has_identity = core->config.has_identity;
    memcpy(hello->identity, core->config.identity, 32);
    hello->has_secret = c->has_secret;
    memcpy(hello->secret_id, c->secret_id, RP_SECRET_ID_SIZE);
    reset_token(core, c->local_session, hello->reset_token);
    hello->limits = our_limits(core, c);
}

static int call(rp_core *core, rp_conn *c, const rp_target *target) {
    rp_noise_setup setup;
    rp_hello hello;
    static const uint8_t unknown[32];
    bool xx = rp_pattern_is_xx(target->pattern);
    fill_setup(core, &setup, target->pattern, true);
    setup.has_remote_static = !xx;
    setup.has_psk = rp_pattern_has_psk(target->pattern);
    if (setup.has_psk) memcpy(setup.psk, target->secret, 32);
    fill_hello(core, c, &hello);
    int error = xx ? 0 : rp_identity_to_dh(&core->sodium, target->key, setup.remote_static);
    rp_core_random(core, c->handshake->nonce, RP_NONCE_SIZE);
    if (!error)
        error = rp_handshake_create_init(c->handshake, &core->sodium, &setup, c->local_session,
                                         core->config.suites, xx ? unknown : target->key, &hello);
    core->sodium.memzero(&setup, sizeof setup);
    return error;
}

int64_t rp_core_connect(rp_core *core, const rp_target *target, uint64_t now) {
    enum { FIRST_WAIT = 250000 };
    core->now = now;
    if (target->pattern > RP_PATTERN_XXPSK3) return RP_E_MISUSE;
    rp_conn *c = rp_core_add_conn(core, &target->peer, true, now);
    if (!c) return RP_E_FULL;
    c->has_secret = target->pattern == RP_PATTERN_IKPSK2;
    memcpy(c->secret_id, target->secret_id, RP_SECRET_ID_SIZE);
    c->has_peer_identity = !rp_pattern_is_xx(target->pattern);
    memcpy(c->peer_identity, target->key, 32);
    int error = call(core, c, target);
    if (error) {
        rp_core_forget(core, c);
        return error;
    }
    c->handshake_wait = FIRST_WAIT;
    c->handshake_due = true;
    rp_core_ready(core, c);
    return c->handle;
}

/* ---- secrets: invites, network secrets, and the one of a pairing ---- */

static const uint8_t *find_secret(const rp_core *core, const uint8_t *id) {
    for (uint32_t i = 0; i < core->secret_count; i++)
        if (memcmp(core->secrets[i].id, id, RP_SECRET_ID_SIZE) == 0) return core->secrets[i].secret;
    return NULL;
}

int rp_core_add_secret(rp_core *core, const uint8_t *id, const uint8_t *secret) {
    if (find_secret(core, id)) return RP_E_MISUSE;
    if (core->secret_count == core->config.max_secrets) return RP_E_FULL;
    memcpy(core->secrets[core->secret_count].id, id, RP_SECRET_ID_SIZE);
    memcpy(core->secrets[core->secret_count].secret, secret, 32);
    core->secret_count++;
    return 0;
}

int rp_core_remove_secret(rp_core *core, const uint8_t *id) {
    for (uint32_t i = 0; i < core->secret_count; i++) {
        if (memcmp(core->secrets[i].id, id, RP_SECRET_ID_SIZE) != 0) continue;
        core->secrets[i] = core->secrets[--core->secret_count];
        core->sodium.memzero(&core->secrets[core->secret_count], sizeof *core->secrets);
        return 0;
    }
    return RP_E_GONE;
}

static uint8_t *reply_slot(rp_core *core, const rp_address *peer, uint16_t size) {
    enum { REPLIES = sizeof core->replies / sizeof core->replies[0] };
    if (core->reply_count == REPLIES || size > RP_REPLY_MAX) return NULL;
    uint32_t place = core->reply_count++;
    core->replies[place].peer = *peer;
    core->replies[place].size = size;
    return core->replies[place].data;
}

/* An answer to somebody without a session: few a second, so that it cannot be made to shout. */
static uint8_t *reply_buffer(rp_core *core, const rp_address *peer, uint16_t size) {
    enum { BURST = 16, A_SECOND = 100 };
    uint64_t gained = (core->now - core->reply_updated) * A_SECOND / SECOND;
    if (gained) {
        core->reply_budget = core->reply_budget + gained < BURST ? core->reply_budget + gained : BURST;
        core->reply_updated = core->now;
    }
    if (!core->reply_budget) return NULL;
    core->reply_budget--;
    return reply_slot(core, peer, size);
}

static void refuse(rp_core *core, const rp_address *peer, const uint8_t *init, uint8_t reason) {
    uint8_t *out = reply_buffer(core, peer, RP_REFUSED_SIZE);
    if (!out) return;
    rp_refused_write(out, rp_load32(init + RP_INIT_SESSION), init + RP_INIT_NONCE, reason);
    core->counters.refused_out++;
}

static void offer_versions(rp_core *core, const rp_address *peer, const uint8_t *init) {
    uint8_t *out = reply_buffer(core, peer, RP_REFUSED_SIZE);
    if (!out) return;
    rp_version_write(out, rp_load32(init + RP_INIT_SESSION), init + RP_INIT_NONCE);
    core->counters.versions_out++;
}

/* A packet of a session that we know nothing of: say so, in fewer bytes than came. */
void rp_core_reset_stranger(rp_core *core, const rp_address *peer, uint32_t session, size_t size) {
    uint8_t token[RP_RESET_TOKEN_SIZE];
    if (size <= RP_RESET_SIZE) return;
    uint8_t *out = reply_buffer(core, peer, RP_RESET_SIZE);
    if (!out) return;
    reset_token(core, session, token);
    rp_reset_write(out, session, token);
    core->counters.resets_out++;
}

/* ---- cookies: under load an INIT must prove its address before any public-key work ---- */

static void rotate_cookies(rp_core *core) {
    enum { COOKIE_LIFE = 120 * 1000000 };
    if (core->now - core->cookie_since < COOKIE_LIFE) return;
    memcpy(core->cookie_secret[1], core->cookie_secret[0], 32);
    rp_core_random(core, core->cookie_secret[0], 32);
    core->cookie_since = core->now;
}

static void make_cookie(rp_core *core, const rp_address *peer, int which, uint8_t *out) {
    uint8_t place[18];
    memcpy(place, peer->ip, 16);
    rp_store16(place + 16, peer->port);
    rp_derive(&core->sodium, core->cookie_secret[which], 32, "repram v1 address cookie", place, sizeof place,
              out, RP_COOKIE_SIZE);
}

static bool has_cookie(const uint8_t *init, size_t size) {
    static const uint8_t none[RP_MAC_SIZE];
    return memcmp(init + size - RP_MAC_SIZE, none, RP_MAC_SIZE) != 0;
}

static bool cookie_ok(rp_core *core, const rp_address *peer, const uint8_t *init, size_t size) {
    uint8_t cookie[RP_COOKIE_SIZE];
    if (!has_cookie(init, size)) return false;
    for (int which = 0; which < 2; which++) {
        make_cookie(core, peer, which, cookie);
        if (rp_handshake_check_mac2(&core->sodium, cookie, init, size)) return true;
    }
    return false;
}

static void count_up(uint8_t *nonce) {
    for (int i = 0; i < RP_RETRY_NONCE_SIZE; i++)
        if (++nonce[i]) return;
}

/* Every caller is asked, however many there are: a twentieth of the bytes that came, and one among a flood of
 * forged ones would otherwise wait for its turn until it gives up. */
static void ask_cookie(rp_core *core, const rp_address *peer, const uint8_t *init, size_t size, bool xx) {
    uint8_t cookie[RP_COOKIE_SIZE];
    uint8_t *out = reply_slot(core, peer, RP_RETRY_SIZE);
    if (!out) return;
    make_cookie(core, peer, 0, cookie);
    count_up(core->retry_nonce);
    rp_retry_write(&core->sodium, out, xx ? core->retry_key_xx : core->retry_key, core->retry_nonce, cookie,
                   init, size);
    core->counters.retries_out++;
}

static bool source_may(rp_core *core, const rp_address *peer, bool proved) {
    uint8_t name[RP_SOURCE_SIZE], hash[16];
    rp_source_name(peer, proved, name);
    rp_derive(&core->sodium, core->source_key, 32, "repram v1 source", name, sizeof name, hash, sizeof hash);
    return rp_sources_take(&core->sources, rp_load32(hash), core->now);
}

/* Few callers are half-way in, and few have lately had public-key work done for them: an INIT that fails
 * leaves nothing behind, but it has cost as much. */
static bool calm(rp_core *core) {
    uint32_t after = core->config.cookie_after;
    if (core->worked_until < core->now) core->worked_until = core->now;
    return core->half_open < after && core->worked_until + SECOND / after <= core->now + SECOND;
}

static void count_work(rp_core *core) { core->worked_until += SECOND / core->config.cookie_after; }

static uint8_t choose_suite(const rp_core *core, uint8_t offered) {
    uint8_t common = offered & core->config.suites;
    return common & RP_SUITE_AEGIS256 ? RP_SUITE_AEGIS256 : common & RP_SUITE_XCHACHA20;
}

/* Which secret is meant stands in the first message; it is needed only for the second. */
static int choose_secret(rp_core *core, rp_conn *c, uint8_t pattern, const rp_hello *hello) {
    static const uint8_t pairing[RP_SECRET_ID_SIZE];
    const uint8_t *secret = NULL;
    if (pattern == RP_PATTERN_IKPSK2 && hello->has_secret) secret = find_secret(core, hello->secret_id);
    if (pattern == RP_PATTERN_XXPSK3) secret = find_secret(core, pairing);
    if (rp_pattern_has_psk(pattern) && !secret) return RP_E_AUTH;
    if (!secret) return 0;
    rp_noise_set_psk(&c->handshake->noise, secret);
    c->has_secret = true;
    memcpy(c->secret_id, hello->secret_id, RP_SECRET_ID_SIZE);
    return 0;
}

static void know_initiator(rp_conn *c, const rp_hello *hello) {
    c->has_peer_identity = hello->has_identity;
    memcpy(c->peer_identity, hello->identity, 32);
}

static int answer(rp_core *core, rp_conn *c, const uint8_t *init, size_t size, uint64_t now) {
    rp_noise_setup setup;
    rp_hello hello;
    uint8_t pattern = init[RP_INIT_PATTERN];
    bool xx = rp_pattern_is_xx(pattern);
    fill_setup(core, &setup, pattern, false);
    int error = rp_handshake_consume_init(c->handshake, &core->sodium, &setup, init, size, &hello);
    core->sodium.memzero(&setup, sizeof setup);
    if (error) return error;
    if (choose_secret(core, c, pattern, &hello) != 0) return RP_E_GONE;
    rp_welcome welcome = {
        .session = c->local_session,
        .suite = choose_suite(core, init[RP_INIT_SUITES]),
        .has_identity = xx && core->config.has_identity,
        .clock = (uint64_t)((int64_t)now + core->config.wall_offset),
        .limits = our_limits(core, c),
    };
    memcpy(welcome.identity, core->config.identity, 32);
    reset_token(core, c->local_session, welcome.reset_token);
    c->remote_session = rp_load32(init + RP_INIT_SESSION);
    c->suite = welcome.suite;
    error = rp_handshake_create_accept(c->handshake, c->remote_session, &welcome);
    if (error || xx) return error;
    know_initiator(c, &hello);
    rp_conn_use_keys(c, c->suite, &hello.limits, hello.reset_token, now);
    return 0;
}

/* Two sources sent the same INIT before it was answered: each gets its answer, for only one is real. */
static void answer_first(rp_core *core, rp_conn *c) {
    const rp_handshake *h = c->handshake;
    if (c->unvalidated_out + h->size > 3 * c->unvalidated_in) return;
    uint8_t *out = reply_buffer(core, &c->peer, h->size);
    if (out) memcpy(out, h->message, h->size);
}

/* The answer goes to where this INIT came from: the one before may have been a copy from a forged source. */
static void repeat_accept(rp_core *core, rp_conn *c, const rp_address *peer, size_t size) {
    core->counters.inits_repeated++;
    if (c->state != RP_ANSWERED) return;
    if (!rp_address_equal(&c->peer, peer)) {
        if (c->handshake_due) answer_first(core, c);
        c->peer = *peer;
        c->several_sources = true;
        c->unvalidated_in = c->unvalidated_out = 0;
    }
    c->unvalidated_in += size;
    c->handshake_due = true;
    rp_core_ready(core, c);
}

static bool init_acceptable(const rp_core *core, const uint8_t *init, size_t size) {
    return core->config.listen && size >= RP_INIT_SIZE && size <= RP_CALLER_MOST && !init[RP_INIT_RESERVED] &&
           rp_load32(init + RP_INIT_SESSION) && rp_load32(init + 4) == 0;
}

static bool init_understood(const rp_core *core, const uint8_t *init) {
    uint8_t pattern = init[RP_INIT_PATTERN];
    return choose_suite(core, init[RP_INIT_SUITES]) && pattern <= RP_PATTERN_XXPSK3 &&
           core->config.patterns >> pattern & 1;
}

static rp_conn *add_half_open(rp_core *core, const rp_address *peer, const uint8_t *mac, size_t size,
                              uint64_t now) {
    rp_conn *c = rp_core_add_conn(core, peer, false, now);
    if (!c) return NULL;
    memcpy(c->init_mac, mac, RP_MAC_SIZE);
    rp_core_index_init(core, c);
    c->unvalidated_in = size;
    c->half_open = true;
    core->half_open++;
    return c;
}

static void admit(rp_core *core, const rp_address *peer, const uint8_t *init, size_t size, uint64_t now) {
    rp_conn *c = add_half_open(core, peer, init + size - 2 * RP_MAC_SIZE, size, now);
    if (!c) {
        refuse(core, peer, init, RP_REFUSED_BUSY);
        return;
    }
    int error = answer(core, c, init, size, now);
    if (error) {
        if (error == RP_E_GONE) refuse(core, peer, init, RP_REFUSED_WRONG_SECRET);
        core->counters.dropped_handshake++;
        rp_core_forget(core, c);
        return;
    }
    c->handshake_due = true;
    rp_core_ready(core, c);
}

void rp_core_on_init(rp_core *core, const rp_address *peer, const uint8_t *init, size_t size) {
    core->counters.inits_in++;
    if (!init_acceptable(core, init, size))
        core->counters.dropped_handshake++;
    else if (!rp_callers_put(core->callers, peer, init, size, has_cookie(init, size)))
        core->counters.dropped_callers++;
}

static void answer_caller(rp_core *core, const rp_address *peer, const uint8_t *init, size_t size,
                          uint64_t now) {
    if (init[RP_INIT_VERSION] != RP_VERSION_1) {
        offer_versions(core, peer, init);
        return;
    }
    bool xx = rp_pattern_is_xx(init[RP_INIT_PATTERN]);
    if (!rp_handshake_check_mac1(&core->sodium, xx ? core->mac1_key_xx : core->mac1_key, init, size)) {
        core->counters.dropped_mac++;
        refuse(core, peer, init, RP_REFUSED_WRONG_KEY);
        return;
    }
    rp_conn *c = rp_core_find_init(core, init + size - 2 * RP_MAC_SIZE);
    if (c) {
        repeat_accept(core, c, peer, size);
        return;
    }
    rotate_cookies(core);
    if (!init_understood(core, init)) {
        core->counters.dropped_handshake++;
        refuse(core, peer, init, RP_REFUSED_NOT_ALLOWED);
    } else if (calm(core) && source_may(core, peer, false)) {
        count_work(core);
        admit(core, peer, init, size, now);
    } else if (!cookie_ok(core, peer, init, size)) {
        ask_cookie(core, peer, init, size, xx);
    } else if (source_may(core, peer, true)) {
        admit(core, peer, init, size, now);
    } else {
        core->counters.handshakes_limited++;
        refuse(core, peer, init, RP_REFUSED_RATE);
    }
}

int rp_core_answer(rp_core *core, int most, uint64_t now) {
    int answered = 0;
    core->now = now;
    for (const rp_caller *caller; answered < most && (caller = rp_callers_take(core->callers)); answered++)
        answer_caller(core, &caller->peer, caller->init, caller->size, now);
    return answered;
}

int rp_core_has_callers(const rp_core *core) { return rp_callers_wait(core->callers); }

static bool suite_agreed(const rp_core *core, uint8_t suite) {
    return suite & core->config.suites && !(suite & (suite - 1));
}

/* With a wrong secret every ACCEPT fails its tag: that too is only a label for the deadline. */
static void accept_failed(rp_core *core, rp_conn *c) {
    core->counters.dropped_handshake++;
    if (c->handshake->pattern != RP_PATTERN_IKPSK2 || c->closed_cause) return;
    c->closed_cause = RP_CLOSED_REFUSED;
    c->close_code = RP_REFUSED_WRONG_SECRET;
}

static void on_answer(rp_core *core, rp_conn *c, const uint8_t *datagram, size_t size, uint64_t now) {
    rp_welcome welcome;
    if (rp_handshake_consume_accept(c->handshake, datagram, size, &welcome) != 0 ||
        !suite_agreed(core, welcome.suite)) {
        accept_failed(core, c);
        return;
    }
    c->remote_session = welcome.session;
    c->clock_offset = (int64_t)(welcome.clock - now);
    if (!rp_pattern_is_xx(c->handshake->pattern)) {
        rp_conn_use_keys(c, welcome.suite, &welcome.limits, welcome.reset_token, now);
        rp_conn_establish(c, now);
        rp_core_ready(core, c);
        return;
    }
    rp_hello hello;
    fill_hello(core, c, &hello);
    if (rp_handshake_create_confirm(c->handshake, c->remote_session, &hello) != 0) {
        rp_conn_end(c, RP_CLOSED_UNREACHABLE, 0, now);
        return;
    }
    c->has_peer_identity = welcome.has_identity;
    memcpy(c->peer_identity, welcome.identity, 32);
    rp_conn_use_keys(c, welcome.suite, &welcome.limits, welcome.reset_token, now);
    c->state = RP_CONFIRMING;
    c->handshake_due = true;
    rp_core_ready(core, c);
}

static void on_confirm(rp_core *core, rp_conn *c, const rp_address *peer, const uint8_t *datagram,
                       size_t size, uint64_t now) {
    rp_hello hello;
    if (!rp_pattern_is_xx(c->handshake->pattern) ||
        rp_handshake_consume_confirm(c->handshake, datagram, size, &hello) != 0) {
        core->counters.dropped_handshake++;
        return;
    }
    know_initiator(c, &hello);
    rp_conn_use_keys(c, c->suite, &hello.limits, hello.reset_token, now);
    rp_conn_take_address(c, peer, size, now);
    rp_conn_establish(c, now);
    rp_core_ready(core, c);
}

void rp_core_on_accept(rp_core *core, const rp_header *header, const rp_address *peer,
                       const uint8_t *datagram, size_t size, uint64_t now) {
    rp_conn *c = rp_core_find_session(core, header->session);
    core->counters.accepts_in++;
    if (c && c->state == RP_CALLING) {
        on_answer(core, c, datagram, size, now);
    } else if (c && c->state == RP_ANSWERED) {
        on_confirm(core, c, peer, datagram, size, now);
    } else {
        core->counters.dropped_state++;
        if (!c || c->state != RP_ESTABLISHED || c->initiator || c->packets_received) return;
        c->ping_due = true; /* a confirmation again: what told the initiator that it arrived was lost, */
        if (c->unproven || !rp_address_equal(peer, &c->peer)) /* or went where it no longer is */
            rp_conn_prove(c, peer, size, now);
        rp_core_ready(core, c);
    }
}

void rp_core_on_retry(rp_core *core, const rp_header *header, const uint8_t *datagram, size_t size) {
    rp_conn *c = rp_core_find_session(core, header->session);
    if (!c || c->state != RP_CALLING) {
        core->counters.dropped_state++;
        return;
    }
    if (rp_handshake_consume_retry(c->handshake, &core->sodium, datagram, size) != 0) {
        core->counters.dropped_handshake++;
        return;
    }
    core->counters.retries_in++;
    if (c->retried) return; /* whoever saw INIT can make any number, and would draw as many */
    c->retried = c->handshake_due = true;
    rp_core_ready(core, c);
}

void rp_core_on_reset(rp_core *core, const rp_header *header, const rp_address *peer, const uint8_t *datagram,
                      size_t size, uint64_t now) {
    rp_conn *c = rp_core_find_remote(core, header->session, peer);
    if (!c || c->state >= RP_CLOSING || size != RP_RESET_SIZE ||
        core->sodium.memcmp(c->reset_token, datagram + RP_HEADER_SIZE, RP_RESET_TOKEN_SIZE) != 0) {
        core->counters.dropped_session++;
        return;
    }
    core->counters.resets_in++;
    rp_conn_end(c, RP_CLOSED_RESET, 0, now);
}

/* Unauthenticated: it only labels the error that is reported when the deadline comes. */
void rp_core_on_refusal(rp_core *core, const rp_header *header, const uint8_t *datagram, size_t size) {
    rp_conn *c = rp_core_find_session(core, header->session);
    if (!c || c->state != RP_CALLING || size != RP_REFUSED_SIZE ||
        memcmp(datagram + RP_HEADER_SIZE, c->handshake->nonce, RP_NONCE_SIZE) != 0) {
        core->counters.dropped_state++;
        return;
    }
    bool version = header->type == RP_TYPE_VERSION;
    if (version)
        core->counters.versions_in++;
    else
        core->counters.refused_in++;
    c->closed_cause = version ? RP_CLOSED_VERSION : RP_CLOSED_REFUSED;
    c->close_code = version ? 0 : datagram[RP_HEADER_SIZE + RP_NONCE_SIZE];
}
