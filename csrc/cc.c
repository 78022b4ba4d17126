#include "cc.h"

#include "rp_api.h"

void rp_cc_init(rp_cc *cc, uint8_t controller, uint64_t mtu, uint64_t now) {
    cc->table = controller == RP_CC_BBR ? &rp_cc_bbr : &rp_cc_cubic;
    rp_cc_resize(cc, mtu);
    cc->table->init(cc, now);
}

void rp_cc_resize(rp_cc *cc, uint64_t mtu) {
    enum { LARGEST = 8972 };
    cc->mtu = mtu < LARGEST ? mtu : LARGEST;
}
