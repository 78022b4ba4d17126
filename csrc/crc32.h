/* CRC-32 (ISO-HDLC, zlib's). It filters line noise; it authenticates nothing. */
#ifndef RP_CRC32_H
#define RP_CRC32_H

#include "rp_api.h" /* rp_crc32, rp_crc32_by, rp_crc32_method */

#endif
