#include "cc.h"

#include "rp_api.h"

void rp_cc_init(rp_cc *cc, uint8_t controller, uint64_t mtu, uint64_t now) {
    cc->table = controller == RP_CC_BBR ? &rp_cc_bbr : &rp_cc_cubic;
    cc->mtu = mtu;
    cc->table->init(cc, now);
}
