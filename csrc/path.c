#include "path.h"

#include <string.h>

bool rp_address_equal(const rp_address *a, const rp_address *b) {
    return a->port == b->port && a->scope == b->scope && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool rp_path_seen(rp_path *path, const rp_address *from, size_t size) {
    bool known = path->active && rp_address_equal(&path->address, from);
    if (!known) {
        memset(path, 0, sizeof *path);
        path->address = *from;
        path->active = path->due = true;
    }
    path->received += size;
    return !known;
}

bool rp_path_may_send(const rp_path *path, size_t size) { return path->sent + size <= 3 * path->received; }

void rp_path_asked(rp_path *path, size_t size, uint64_t wait, uint64_t now) {
    path->sent += size;
    path->due = false;
    if (!path->tries) path->asked_at = now;
    path->again_at = now + (wait << path->tries);
    path->tries++;
}

bool rp_path_answers(const rp_path *path, const uint8_t *response) {
    return path->active && path->tries && memcmp(path->challenge, response, sizeof path->challenge) == 0;
}

void rp_path_timeout(rp_path *path) {
    path->again_at = 0;
    if (path->tries >= RP_PATH_TRIES)
        path->active = false;
    else
        path->due = true;
}

rp_path *rp_paths_place(rp_path *paths, const rp_address *from) {
    rp_path *place = NULL;
    for (rp_path *path = paths; path < paths + RP_PATHS; path++) {
        if (path->active && rp_address_equal(&path->address, from)) return path;
        bool spent = !path->active || path->tries > 1; /* it has had the time of a first answer */
        if (spent && (!place || place->active)) place = path;
    }
    if (place) place->active = false;
    return place;
}

rp_path *rp_paths_answered(rp_path *paths, const uint8_t *response) {
    for (rp_path *path = paths; path < paths + RP_PATHS; path++)
        if (rp_path_answers(path, response)) return path;
    return NULL;
}

void rp_paths_clear(rp_path *paths) { memset(paths, 0, RP_PATHS * sizeof *paths); }

uint64_t rp_paths_again_at(const rp_path *paths) {
    uint64_t first = 0;
    for (const rp_path *path = paths; path < paths + RP_PATHS; path++)
        if (path->active && path->again_at && (!first || path->again_at < first)) first = path->again_at;
    return first;
}

void rp_paths_timeout(rp_path *paths, uint64_t now) {
    for (rp_path *path = paths; path < paths + RP_PATHS; path++)
        if (path->active && path->again_at && path->again_at <= now) rp_path_timeout(path);
}
