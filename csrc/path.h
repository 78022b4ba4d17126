/* The peer's address seems to have changed: is it really there? Data goes on to the proved address
 * until a challenge sent to the new one is answered, so a copied packet diverts nothing. Several may be
 * asked at a time: who copies packets from a forged source must not keep a peer that moves from being asked.
 */
#ifndef RP_PATH_H
#define RP_PATH_H

#include <stdbool.h>

#include "wire.h"

#define RP_PATH_TRIES 8
#define RP_PATHS 4

typedef struct {
    rp_address address;
    uint8_t challenge[RP_PATH_DATA_SIZE];
    uint64_t received, sent; /* bytes, for the limit towards an address that has proved nothing */
    uint64_t asked_at, again_at;
    uint32_t tries;
    bool active, due;
} rp_path;

bool rp_address_equal(const rp_address *a, const rp_address *b);
/* A newest authentic packet came from there. True when a fresh challenge must be chosen. */
bool rp_path_seen(rp_path *path, const rp_address *from, size_t size);
bool rp_path_may_send(const rp_path *path, size_t size);
void rp_path_asked(rp_path *path, size_t size, uint64_t wait, uint64_t now);
bool rp_path_answers(const rp_path *path, const uint8_t *response);
/* The wait for an answer is over: ask again, or give up. */
void rp_path_timeout(rp_path *path);

/* ---- all that are asked at a time ---- */
/* Where an address is asked, or may be; null while every other has only just been. */
rp_path *rp_paths_place(rp_path *paths, const rp_address *from);
rp_path *rp_paths_answered(rp_path *paths, const uint8_t *response);
void rp_paths_clear(rp_path *paths);
uint64_t rp_paths_again_at(const rp_path *paths); /* 0: never */
void rp_paths_timeout(rp_path *paths, uint64_t now);

#endif
