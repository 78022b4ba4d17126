/* flood ADDRESS PORT RATE SECONDS PAYLOADS SIZE: sends UDP datagrams of SIZE bytes each, one after the other
 * out of the file PAYLOADS, from forged sources of 198.18.0.0/15. For namespaces that the tests made. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sendmmsg */
#endif
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, MOST = 1500, MOST_SECONDS = 60, FIRST_PORT = 1024 };

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint32_t chance(void) { /* xorshift: which sources there are is nobody's secret */
    static uint32_t state = 2463534242;
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
}

static void fill(uint8_t *packet, const struct sockaddr_in *to, const uint8_t *payload, size_t size) {
    struct iphdr ip = {.version = 4,
                       .ihl = 5,
                       .ttl = 64,
                       .protocol = IPPROTO_UDP,
                       .tot_len = htons((uint16_t)(sizeof ip + sizeof(struct udphdr) + size)),
                       .saddr = htonl(0xc6120000 | (chance() & 0x1ffff)),
                       .daddr = to->sin_addr.s_addr};
    struct udphdr udp = {.source = htons((uint16_t)(FIRST_PORT + chance() % 60000)),
                         .dest = to->sin_port,
                         .len = htons((uint16_t)(sizeof udp + size))};
    memcpy(packet, &ip, sizeof ip);
    memcpy(packet + sizeof ip, &udp, sizeof udp);
    memcpy(packet + sizeof ip + sizeof udp, payload, size);
}

int main(int count, char **words) {
    if (count != 7) return 2;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(words[2]))};
    double rate = atof(words[3]), seconds = atof(words[4]);
    size_t size = (size_t)atol(words[6]);
    FILE *file = fopen(words[5], "rb");
    int out = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
    if (!inet_aton(words[1], &to.sin_addr) || !file || out < 0 || size > MOST - 28 || seconds > MOST_SECONDS)
        return 2;
    fseek(file, 0, SEEK_END);
    size_t payloads = (size_t)ftell(file) / size;
    uint8_t *all = malloc(payloads * size);
    rewind(file);
    if (!payloads || fread(all, size, payloads, file) != payloads) return 2;
    static uint8_t packets[BATCH][MOST];
    struct iovec vectors[BATCH];
    struct mmsghdr headers[BATCH];
    memset(headers, 0, sizeof headers);
    uint64_t start = now(), sent = 0;
    while ((double)(now() - start) < seconds * 1e9) {
        if ((double)sent > (double)(now() - start) * rate / 1e9) continue;
        for (int i = 0; i < BATCH; i++) {
            fill(packets[i], &to, all + (sent + (uint64_t)i) % payloads * size, size);
            vectors[i] = (struct iovec){packets[i], size + 28};
            headers[i].msg_hdr = (struct msghdr){
                .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &vectors[i], .msg_iovlen = 1};
        }
        int went = sendmmsg(out, headers, BATCH, 0);
        if (went > 0) sent += (uint64_t)went;
    }
    printf("%llu\n", (unsigned long long)sent);
    return 0;
}
