/* The socket and the clock: the only file that makes system calls. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "rp_api.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
    BATCH = 8,    /* runs sent at once, or received while the kernel joins datagrams */
    SINGLES = 32, /* received at once where it does not */
    SLOT = 65536,
    CONTROL = 96, /* room for four messages of an int: marks, joining, drops, and one to spare */
    ECN_BITS = 3,
    MUCH = 32 * 1024,
    TURN_BYTES = 512 * 1024, /* then it is the application's turn, while they are warm */
    SOCKET_BUFFER = 8 * 1024 * 1024,
    CALLERS_BUFFER = 1024 * 1024,
    LARGE = 1000,    /* bytes of a datagram that is part of something long */
    REST = 500,      /* microseconds */
    TRICKLE = 32,    /* datagrams, one by one, before the first rest */
    DEAF = 3,        /* times as long as it took to answer some callers, others wait */
    A_WHILE = 10000, /* microseconds */
    ROUNDS = 8,
    FEW = 32,     /* packets, for a handshake or two */
    ANSWERED = 4, /* a datagram that leaves says as much against it as so many that come say for it */
};

struct rp_udp {
    int descriptor, timer;
    int callers;                /* where INITs come in, apart from all else, or -1 */
    int callers_watch;          /* readable when that is, unless they have to wait */
    bool hears;                 /* callers wake the process */
    bool calling;               /* more may wait there than was fetched */
    int watch;                  /* readable when the socket is, while that is attended to */
    bool attends;               /* not while it rests, nor within a turn of a busy time */
    size_t moved;               /* bytes of this turn */
    uint64_t busy_until;        /* after a turn that moved much, others are expected to */
    uint64_t armed;             /* when the timer fires, or RP_NEVER */
    uint64_t rests_until;       /* RP_NEVER: it does not */
    uint64_t heard;             /* when something came last */
    uint64_t deaf_until;        /* to callers */
    uint64_t served, looked_at; /* how many packets of sessions there had been, and when */
    bool used;
    int trickled;   /* datagrams of something long that came in little batches, less what was answered */
    int came, went; /* datagrams, and runs of them, since the last rest was thought of */
    size_t largest; /* of those that came, bytes */
    bool v6;
    bool segmentation, batches; /* off once the kernel has refused: that costs speed and nothing else */
    int at_once;                /* messages received before they are acknowledged */
    uint32_t drops;             /* as the kernel last said */
    int waiting, sent;          /* runs that the kernel would not take yet: [sent, waiting) */
    bool joins;                 /* the kernel joined some of what came last */
    rp_datagram out[BATCH], in[SINGLES];
    uint8_t *receive_buffer, *send_buffer;
    struct mmsghdr headers[SINGLES];
    struct iovec vectors[SINGLES];
    struct sockaddr_storage names[SINGLES];
    _Alignas(struct cmsghdr) uint8_t control[SINGLES][CONTROL];
};

/* ---- addresses ---- */

static const uint8_t MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static bool is_v4(const rp_address *address) { return memcmp(address->ip, MAPPED, sizeof MAPPED) == 0; }

static socklen_t to_sockaddr(const rp_address *address, bool v6, struct sockaddr_storage *out) {
    if (v6) {
        struct sockaddr_in6 *to = (struct sockaddr_in6 *)out;
        memset(to, 0, sizeof *to);
        to->sin6_family = AF_INET6;
        to->sin6_port = htons(address->port);
        to->sin6_scope_id = address->scope;
        memcpy(&to->sin6_addr, address->ip, 16);
        return sizeof *to;
    }
    struct sockaddr_in *to = (struct sockaddr_in *)out;
    memset(to, 0, sizeof *to);
    to->sin_family = AF_INET;
    to->sin_port = htons(address->port);
    memcpy(&to->sin_addr, address->ip + 12, 4);
    return sizeof *to;
}

static void from_sockaddr(const struct sockaddr_storage *from, rp_address *out) {
    memset(out, 0, sizeof *out);
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
        memcpy(out->ip, &v6->sin6_addr, 16);
        out->scope = v6->sin6_scope_id;
        out->port = ntohs(v6->sin6_port);
    } else {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        memcpy(out->ip, MAPPED, sizeof MAPPED);
        memcpy(out->ip + 12, &v4->sin_addr, 4);
        out->port = ntohs(v4->sin_port);
    }
}

/* ---- opening ---- */

static void widen_buffers(int descriptor, int size) {
    if (setsockopt(descriptor, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0)
        setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

/* Nothing is fragmented, and nobody on the way is believed about what it takes: the core finds out itself. */
static void forbid_fragments(const rp_udp *udp) {
    int v4 = IP_PMTUDISC_PROBE, v6 = IPV6_PMTUDISC_PROBE;
    setsockopt(udp->descriptor, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof v4);
    if (udp->v6) setsockopt(udp->descriptor, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof v6);
}

/* Whether datagrams wake the process from now on. Returns false when the kernel has no memory for that. */
static bool attend(rp_udp *udp, bool on) {
    if (udp->attends == on) return true;
    struct epoll_event readable = {.events = EPOLLIN};
    if (epoll_ctl(udp->watch, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, udp->descriptor, &readable) != 0)
        return false;
    udp->attends = on;
    return true;
}

static int open_socket(rp_udp *udp, const rp_address *local, rp_address *bound) {
    struct sockaddr_storage name;
    socklen_t size;
    int off = 0, on = 1;
    udp->v6 = !is_v4(local);
    udp->descriptor = socket(udp->v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (udp->descriptor < 0) return -errno;
    if (udp->v6) setsockopt(udp->descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    setsockopt(udp->descriptor, IPPROTO_UDP, UDP_GRO, &on, sizeof on); /* without it: one by one */
    setsockopt(udp->descriptor, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on);
    setsockopt(udp->descriptor, IPPROTO_IP, IP_RECVTOS, &on, sizeof on);
    if (udp->v6) setsockopt(udp->descriptor, IPPROTO_IPV6, IPV6_RECVTCLASS, &on, sizeof on);
    forbid_fragments(udp);
    widen_buffers(udp->descriptor, SOCKET_BUFFER);
    size = to_sockaddr(local, udp->v6, &name);
    if (bind(udp->descriptor, (struct sockaddr *)&name, size) != 0) return -errno;
    size = sizeof name;
    if (getsockname(udp->descriptor, (struct sockaddr *)&name, &size) != 0) return -errno;
    from_sockaddr(&name, bound);
    udp->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    udp->watch = epoll_create1(EPOLL_CLOEXEC);
    if (udp->timer < 0 || udp->watch < 0) return -errno;
    return attend(udp, true) ? 0 : -errno;
}

/* A second socket at the same address, and a filter that gives it the INITs. The first was bound alone, so
 * that nobody else's address is shared by mistake. Returns 0, or a negative errno: then all come in one. */
int rp_udp_part_callers(rp_udp *udp) {
    enum { TYPE_BITS = 0x0f, INIT = 1 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, TYPE_BITS),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, INIT, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
    struct epoll_event readable = {.events = EPOLLIN};
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    int on = 1, off = 0, callers, epoll;
    if (getsockname(udp->descriptor, (struct sockaddr *)&name, &size) != 0) return -errno;
    callers = socket(name.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (udp->v6) setsockopt(callers, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    setsockopt(callers, IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    widen_buffers(callers, CALLERS_BUFFER);
    if (setsockopt(udp->descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        setsockopt(callers, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        bind(callers, (struct sockaddr *)&name, size) != 0 ||
        setsockopt(callers, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof filter) != 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, callers, &readable) != 0) {
        int error = errno;
        if (callers >= 0) close(callers);
        if (epoll >= 0) close(epoll);
        return -error;
    }
    udp->callers = callers;
    udp->callers_watch = epoll;
    udp->hears = true;
    return 0;
}

/* So that the sender hears of the first third while the rest is on its way. */
static int third_of_the_buffer(const rp_udp *udp) {
    size_t messages = rp_udp_receive_buffer(udp) / 3 / SLOT;
    return messages < 1 ? 1 : messages < BATCH ? (int)messages : BATCH;
}

/* Returns 0 or a negative errno. */
int rp_udp_open(const rp_address *local, rp_udp **out, rp_address *bound) {
    rp_udp *udp = calloc(1, sizeof *udp);
    if (!udp) return -ENOMEM;
    udp->descriptor = udp->callers = udp->callers_watch = udp->timer = udp->watch = -1;
    udp->armed = udp->rests_until = RP_NEVER;
    udp->segmentation = udp->batches = true;
    udp->receive_buffer = malloc((size_t)SINGLES * SLOT);
    udp->send_buffer = malloc((size_t)BATCH * SLOT);
    int error = udp->receive_buffer && udp->send_buffer ? open_socket(udp, local, bound) : -ENOMEM;
    if (error) {
        rp_udp_close(udp);
        return error;
    }
    udp->at_once = third_of_the_buffer(udp);
    *out = udp;
    return 0;
}

void rp_udp_close(rp_udp *udp) {
    if (!udp) return;
    if (udp->descriptor >= 0) close(udp->descriptor);
    if (udp->callers >= 0) close(udp->callers);
    if (udp->callers_watch >= 0) close(udp->callers_watch);
    if (udp->timer >= 0) close(udp->timer);
    if (udp->watch >= 0) close(udp->watch);
    free(udp->receive_buffer);
    free(udp->send_buffer);
    free(udp);
}

size_t rp_udp_receive_buffer(const rp_udp *udp) {
    int size = 0;
    socklen_t length = sizeof size;
    getsockopt(udp->descriptor, SOL_SOCKET, SO_RCVBUF, &size, &length);
    return size > 0 ? (size_t)size : 0;
}

uint32_t rp_udp_drops(const rp_udp *udp) { return udp->drops; }

int rp_udp_descriptor(const rp_udp *udp) { return udp->descriptor; }

int rp_udp_watch_descriptor(const rp_udp *udp) { return udp->watch; }

int rp_udp_callers_descriptor(const rp_udp *udp) { return udp->callers_watch; }

int rp_udp_timer_descriptor(const rp_udp *udp) { return udp->timer; }

/* ---- time ---- */

uint64_t rp_udp_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Setting a timer is dear, above all in a virtual machine, and most deadlines only ever recede: an
 * earlier one that is already set is left to fire, and the turn that it causes sets the next. */
static void arm(rp_udp *udp, uint64_t deadline) {
    if (deadline >= udp->armed) return;
    udp->armed = deadline;
    if (!deadline) deadline = 1; /* zero would disarm it */
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(deadline / 1000000), .tv_nsec = (long)(deadline % 1000000) * 1000}};
    timerfd_settime(udp->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void acknowledge_timer(rp_udp *udp) {
    uint64_t expirations;
    ssize_t ignored = read(udp->timer, &expirations, sizeof expirations);
    (void)ignored;
    udp->armed = RP_NEVER;
}

/* ---- in ---- */

/* What the kernel says beside the bytes: how they were joined, how the path marked them, and how many
 * datagrams before them it had no room for. */
static void read_control(rp_udp *udp, struct msghdr *header, rp_datagram *out) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        int value = 0;
        bool tos = c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS; /* one byte; the others are ints */
        bool tclass = c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS;
        bool gro = c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO;
        bool drops = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL;
        if (tos)
            value = *(const uint8_t *)CMSG_DATA(c);
        else if (tclass || gro || drops)
            memcpy(&value, CMSG_DATA(c), sizeof value);
        if (tos || tclass) out->ecn = (uint8_t)(value & ECN_BITS);
        if (gro) out->segment = (uint16_t)value;
        if (drops) udp->drops = (uint32_t)value;
    }
}

/* Fills what the headers point to; a count, or -1. */
static int receive_messages(rp_udp *udp, int descriptor, int most) {
    if (udp->batches) {
        int count = recvmmsg(descriptor, udp->headers, (unsigned)most, MSG_DONTWAIT, NULL);
        if (count >= 0 || errno != ENOSYS) return count;
        udp->batches = false;
    }
    int count = 0;
    for (; count < most; count++) {
        ssize_t size = recvmsg(descriptor, &udp->headers[count].msg_hdr, MSG_DONTWAIT);
        if (size < 0) break;
        udp->headers[count].msg_len = (unsigned)size;
    }
    return count;
}

static int receive_batch(rp_udp *udp, int descriptor, int most) {
    for (int i = 0; i < most; i++) {
        udp->vectors[i] = (struct iovec){udp->receive_buffer + (size_t)i * SLOT, SLOT};
        udp->headers[i].msg_hdr = (struct msghdr){
            .msg_name = &udp->names[i],
            .msg_namelen = sizeof udp->names[i],
            .msg_iov = &udp->vectors[i],
            .msg_iovlen = 1,
            .msg_control = udp->control[i],
            .msg_controllen = CONTROL,
        };
    }
    int count = receive_messages(udp, descriptor, most);
    for (int i = 0; i < count; i++) {
        udp->in[i] = (rp_datagram){
            .data = udp->receive_buffer + (size_t)i * SLOT,
            .size = udp->headers[i].msg_len,
        };
        read_control(udp, &udp->headers[i].msg_hdr, &udp->in[i]);
        from_sockaddr(&udp->names[i], &udp->in[i].peer);
    }
    return count;
}

/* ---- out ---- */

static void add_control(struct msghdr *header, int level, int type, const void *value, size_t size) {
    uint8_t *at = (uint8_t *)header->msg_control + header->msg_controllen;
    struct cmsghdr *c = (struct cmsghdr *)(void *)at;
    header->msg_controllen += CMSG_SPACE(size);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), value, size);
}

static void prepare(rp_udp *udp, int i, const rp_datagram *run) {
    struct msghdr *header = &udp->headers[i].msg_hdr;
    udp->vectors[i] = (struct iovec){run->data, run->size};
    memset(udp->control[i], 0, CONTROL);
    *header = (struct msghdr){.msg_name = &udp->names[i],
                              .msg_iov = &udp->vectors[i],
                              .msg_iovlen = 1,
                              .msg_control = udp->control[i]};
    header->msg_namelen = to_sockaddr(&run->peer, udp->v6, &udp->names[i]);
    int ecn = run->ecn;
    bool mapped = is_v4(&run->peer);
    if (ecn)
        add_control(header, mapped ? IPPROTO_IP : IPPROTO_IPV6, mapped ? IP_TOS : IPV6_TCLASS, &ecn,
                    sizeof ecn);
    if (run->size > run->segment)
        add_control(header, IPPROTO_UDP, UDP_SEGMENT, &run->segment, sizeof run->segment);
    if (!header->msg_controllen) header->msg_control = NULL;
}

static bool would_block(void) { return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS; }

/* The interface takes less than it did, or than a probe asked for: what the core sends next is smaller. */
static bool told_too_large(const rp_datagram *run, rp_core *core, uint64_t now) {
    if ((errno != EMSGSIZE && errno != EINVAL) || run->segment <= RP_MIN_DATAGRAM) return false;
    rp_core_too_large(core, &run->peer, run->segment, now);
    return true;
}

/* EIO; or EINVAL or EMSGSIZE when the core can make nothing smaller. What else goes wrong will pass. */
static bool cannot_segment(void) { return errno == EIO || errno == EINVAL || errno == EMSGSIZE; }

/* Without segmentation: one system call a datagram. Returns false when the kernel's buffer is full. */
static bool send_singly(rp_udp *udp, rp_datagram *run, rp_core *core, uint64_t now) {
    while (run->size) {
        rp_datagram one = *run;
        if (one.size > one.segment) one.size = one.segment;
        prepare(udp, 0, &one);
        if (sendmsg(udp->descriptor, &udp->headers[0].msg_hdr, MSG_DONTWAIT) < 0) {
            if (would_block()) return false;
            if (told_too_large(run, core, now)) return true;
        }
        run->data += one.size; /* any other error is this datagram's loss */
        run->size -= one.size;
    }
    return true;
}

/* Sends what waits; false when the kernel takes no more for now. */
static bool flush(rp_udp *udp, rp_core *core, uint64_t now) {
    while (udp->sent < udp->waiting) {
        rp_datagram *run = &udp->out[udp->sent];
        bool segmented = run->size > run->segment;
        if (!udp->batches || (segmented && !udp->segmentation)) {
            if (!send_singly(udp, run, core, now)) return false;
            udp->sent++;
            continue;
        }
        int last = udp->sent;
        for (; last < udp->waiting; last++) {
            if (!udp->segmentation && udp->out[last].size > udp->out[last].segment) break;
            prepare(udp, last, &udp->out[last]);
        }
        int count =
            sendmmsg(udp->descriptor, udp->headers + udp->sent, (unsigned)(last - udp->sent), MSG_DONTWAIT);
        if (count > 0) {
            udp->sent += count;
        } else if (would_block()) {
            return false;
        } else if (errno == ENOSYS) {
            udp->batches = false;
        } else if (told_too_large(run, core, now)) {
            udp->sent++;
        } else if (segmented && cannot_segment()) {
            udp->segmentation = false;
        } else {
            udp->sent++; /* refused or unreachable: the session's own timers notice */
        }
    }
    udp->sent = udp->waiting = 0;
    return true;
}

/* ---- a turn ---- */

static bool transmit_all(rp_udp *udp, rp_core *core, uint64_t now) {
    for (;;) {
        if (!flush(udp, core, now)) return false;
        udp->waiting = rp_core_transmit(core, udp->out, BATCH, udp->send_buffer, (size_t)BATCH * SLOT, now);
        if (!udp->waiting) return true;
        udp->went += udp->waiting;
        for (int i = 0; i < udp->waiting; i++) udp->moved += udp->out[i].size;
    }
}

/* Whether sessions have much to do, by what they did since that was last asked. */
static bool in_use(rp_udp *udp, const rp_core *core, uint64_t now) {
    if (now - udp->looked_at < A_WHILE) return udp->used;
    udp->used = rp_core_packets(core) - udp->served > FEW * ((now - udp->looked_at) / A_WHILE);
    udp->served = rp_core_packets(core);
    udp->looked_at = now;
    return udp->used;
}

static void hear_callers(rp_udp *udp, bool on) {
    if (udp->callers < 0 || udp->hears == on) return;
    udp->hears = on;
    struct epoll_event readable = {.events = on ? EPOLLIN : 0};
    epoll_ctl(udp->callers_watch, EPOLL_CTL_MOD, udp->callers, &readable);
}

/* What waits in the core is answered before more is fetched; the kernel drops what finds no room. */
static int answer_some(rp_udp *udp, rp_core *core, int most, uint64_t now) {
    if (udp->calling && !rp_core_has_callers(core)) {
        int count = receive_batch(udp, udp->callers, SINGLES);
        if (count > 0) rp_core_receive(core, udp->in, count, now);
        udp->calling = count > 0;
    }
    return rp_core_answer(core, most, now);
}

/* Sessions come first: while they are in use callers get a quarter of the time, however many call. */
static bool answer_callers(rp_udp *udp, rp_core *core) {
    if (!udp->calling && !rp_core_has_callers(core) && !udp->deaf_until) return true;
    uint64_t start = rp_udp_now();
    bool used = in_use(udp, core, start), all = true;
    if (start < udp->deaf_until) return true;
    int answered = answer_some(udp, core, used ? BATCH : SINGLES, start);
    for (int more = answered, rounds = 0; more && (all = transmit_all(udp, core, start)); rounds++)
        more = used || rounds == ROUNDS ? 0 : answer_some(udp, core, SINGLES, start);
    udp->deaf_until = used && answered ? start + (DEAF + 1) * (rp_udp_now() - start) : 0;
    hear_callers(udp, all && !udp->deaf_until);
    return all;
}

/* Much that comes is acknowledged batch by batch, or its sender would stand still; little is told first, so
 * that the answer goes with the acknowledgement. */
static void receive_all(rp_udp *udp, rp_core *core, uint64_t now) {
    for (size_t total = 0; total < TURN_BYTES;) {
        int count = receive_batch(udp, udp->descriptor, udp->joins ? udp->at_once : SINGLES);
        size_t came = 0;
        if (count > 0) udp->joins = false;
        for (int i = 0; i < count; i++) {
            const rp_datagram *in = &udp->in[i];
            udp->joins |= in->segment && in->size > in->segment;
            if (in->size > udp->largest) udp->largest = in->size;
            came += in->size;
        }
        if (count > 0) {
            rp_core_receive(core, udp->in, count, now);
            udp->came += count;
            udp->moved += came;
        }
        if (came < MUCH || !transmit_all(udp, core, now) || !answer_callers(udp, core)) return;
        total += came;
    }
}

/* Something long that trickles in would wake the process for each of its packets. When that has gone on for
 * a while the socket rests, and what has gathered is fetched every half a millisecond, until that is no
 * longer worth it. Whoever answers what comes is not made to wait. */
static void rest(rp_udp *udp, uint64_t now) {
    bool resting = udp->rests_until != RP_NEVER, answering = ANSWERED * udp->went > udp->came + ANSWERED;
    if (udp->largest < LARGE || udp->came > SINGLES || (!resting && now - udp->heard > REST))
        udp->trickled = 0;
    else
        udp->trickled += udp->came - ANSWERED * udp->went;
    if (udp->trickled < 0) udp->trickled = 0;
    if (udp->trickled > TRICKLE) udp->trickled = TRICKLE;
    bool worth = resting ? udp->came > 1 && !answering : udp->trickled == TRICKLE;
    udp->rests_until = worth ? now + REST : RP_NEVER;
    if (resting && !worth) udp->trickled = 0;
    udp->heard = now;
    udp->came = udp->went = 0;
    udp->largest = 0;
}

static int turn(rp_udp *udp, rp_core *core, int why, uint64_t now) {
    if (why & RP_TURN_TIMER) acknowledge_timer(udp);
    if (why & RP_TURN_CALLERS) udp->calling = true;
    if (why & RP_TURN_READABLE || now >= udp->rests_until) {
        receive_all(udp, core, now);
        rest(udp, now);
    }
    rp_core_timeout(core, now);
    if (why & RP_TURN_HOLD && rp_core_has_events(core)) return RP_TURN_EVENTS;
    bool all = transmit_all(udp, core, now) && answer_callers(udp, core);
    if (all && (udp->deaf_until || rp_core_has_callers(core))) arm(udp, udp->deaf_until);
    uint64_t deadline = rp_core_deadline(core);
    arm(udp, all || deadline ? deadline : RP_NEVER);
    return (rp_core_has_events(core) ? RP_TURN_EVENTS : 0) | (all ? 0 : RP_TURN_WRITABLE);
}

/* Unattended, the kernel takes in and gives out datagrams without telling of each: worth two system calls in
 * a busy time. */
int rp_udp_turn(rp_udp *udp, rp_core *core, int why) {
    uint64_t now = rp_udp_now();
    if (now < udp->busy_until) attend(udp, false);
    udp->moved = 0;
    int result = turn(udp, core, why, now);
    if (udp->moved >= MUCH) udp->busy_until = now + A_WHILE;
    if (!attend(udp, udp->rests_until == RP_NEVER)) udp->rests_until = now + REST;
    arm(udp, udp->rests_until);
    return result;
}
