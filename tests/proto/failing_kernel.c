/* A kernel that refuses, for whom it is preloaded. KERNEL_FAULTS lists what goes wrong; the process writes to
 * a file in KERNEL_REPORTS at its end how often each did. */
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#define REAL(function) ((__typeof__(&(function)))dlsym(RTLD_NEXT, #function))

enum { HEALTHY_CALLS = 50, FULL_EVERY = 16, FULL_FOR = 3, UNREACHABLE_FOR = 3 };

enum count {
    /* faults */
    GSO_EIO,
    GSO_EINVAL,
    UNREACHABLE,
    GRO_LOST,
    NO_GRO,
    FULL,
    CUT_SHORT,
    NO_SENDMMSG,
    NO_RECVMMSG,
    NO_FILTER,
    /* what went on beside them */
    DATAGRAMS, /* that the real kernel took */
    SEGMENTED, /* messages of several */
    SINGLE,    /* without a batch */
    JOINED,    /* the same, received */
    COUNTS,
};

static const char *const NAMES[COUNTS] = {
    "gso-eio",     "gso-einval",  "unreachable", "gro-lost",  "no-gro",    "full",   "cut-short",
    "no-sendmmsg", "no-recvmmsg", "no-filter",   "datagrams", "segmented", "single", "joined"};
static unsigned long counts[COUNTS];

static bool wanted(enum count fault) {
    const char *list = getenv("KERNEL_FAULTS");
    return list && strstr(list, NAMES[fault]);
}

static int fail(enum count fault, int error) {
    counts[fault]++;
    errno = error;
    return -1;
}

static void report_control(struct msghdr *header, int type, enum count what) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c))
        counts[what] += c->cmsg_level == IPPROTO_UDP && c->cmsg_type == type;
}

/* ---- in ---- */

int setsockopt(int socket, int level, int name, const void *value, socklen_t size) {
    if (level == IPPROTO_UDP && name == UDP_GRO && wanted(NO_GRO)) return fail(NO_GRO, ENOPROTOOPT);
    if (level == SOL_SOCKET && name == SO_ATTACH_REUSEPORT_CBPF && wanted(NO_FILTER))
        return fail(NO_FILTER, ENOPROTOOPT);
    return REAL(setsockopt)(socket, level, name, value, size);
}

int recvmmsg(int socket, struct mmsghdr *messages, unsigned most, int flags, struct timespec *timeout) {
    static int calls;
    if (wanted(NO_RECVMMSG)) return fail(NO_RECVMMSG, ENOSYS);
    if (++calls > HEALTHY_CALLS && wanted(GRO_LOST)) {
        int off = 0;
        counts[GRO_LOST] += REAL(setsockopt)(socket, IPPROTO_UDP, UDP_GRO, &off, sizeof off) == 0;
    }
    int count = REAL(recvmmsg)(socket, messages, most, flags, timeout);
    for (int i = 0; i < count; i++) report_control(&messages[i].msg_hdr, UDP_GRO, JOINED);
    return count;
}

/* ---- out ---- */

static size_t segment_size(struct msghdr *header) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c; c = CMSG_NXTHDR(header, c)) {
        uint16_t size;
        if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_SEGMENT) continue;
        memcpy(&size, CMSG_DATA(c), sizeof size);
        return size;
    }
    return 0;
}

static void count_taken(struct msghdr *header) {
    size_t segment = segment_size(header), size = header->msg_iov->iov_len;
    counts[SEGMENTED] += segment != 0;
    counts[DATAGRAMS] += segment ? (size + segment - 1) / segment : 1;
}

static bool is_full(void) {
    static int calls;
    return calls++ % FULL_EVERY < FULL_FOR && wanted(FULL);
}

static int full_error(void) { return counts[FULL] % 2 ? EAGAIN : ENOBUFS; }

/* As the kernel does: what stands before the one that is refused is taken. */
static unsigned without_segmented(struct mmsghdr *messages, unsigned count) {
    unsigned taken = 0;
    while (taken < count && !segment_size(&messages[taken].msg_hdr)) taken++;
    return taken;
}

int sendmmsg(int socket, struct mmsghdr *messages, unsigned count, int flags) {
    static int calls;
    enum count gso = wanted(GSO_EIO) ? GSO_EIO : GSO_EINVAL;
    if (wanted(NO_SENDMMSG)) return fail(NO_SENDMMSG, ENOSYS);
    if (is_full()) return fail(FULL, full_error());
    if (++calls > HEALTHY_CALLS && wanted(gso)) {
        count = without_segmented(messages, count);
        if (!count) return fail(gso, gso == GSO_EIO ? EIO : EINVAL);
    }
    if (calls > HEALTHY_CALLS && counts[UNREACHABLE] < UNREACHABLE_FOR && wanted(UNREACHABLE) &&
        segment_size(&messages[0].msg_hdr))
        return fail(UNREACHABLE, ENETUNREACH);
    if (count > 1 && calls % 2 && wanted(CUT_SHORT)) {
        counts[CUT_SHORT]++;
        count = 1;
    }
    int taken = REAL(sendmmsg)(socket, messages, count, flags);
    for (int i = 0; i < taken; i++) count_taken(&messages[i].msg_hdr);
    return taken;
}

ssize_t sendmsg(int socket, const struct msghdr *header, int flags) {
    if (is_full()) return fail(FULL, full_error());
    ssize_t size = REAL(sendmsg)(socket, header, flags);
    counts[DATAGRAMS] += size >= 0;
    counts[SINGLE] += size >= 0;
    return size;
}

/* ---- the report ---- */

__attribute__((destructor)) static void report(void) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%d", getenv("KERNEL_REPORTS"), (int)getpid());
    FILE *out = fopen(path, "w");
    if (!out) abort();
    for (int i = 0; i < COUNTS; i++) fprintf(out, "%s %lu\n", NAMES[i], counts[i]);
    fclose(out);
}
