/* The cryptography of license_agent.c in one translation unit: the unchanged
 * files of crypto/ (origins and licenses in crypto/README.md) under names that
 * do not collide with a program's own copies. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* In GNU mode these headers declare select(), whose name ge.c takes for a function of its own. */
#define select la_select
#define load_3 la_load_3
#define load_4 la_load_4
#define ed25519_create_keypair la_ed25519_create_keypair
#define ed25519_sign la_ed25519_sign
#define ed25519_verify la_ed25519_verify_raw
#define sha256_init la_sha256_init
#define sha256_update la_sha256_update
#define sha256_final la_sha256_final
#define sha256_transform la_sha256_transform
#define sha512 la_sha512_once
#define sha512_init la_sha512_init
#define sha512_update la_sha512_update
#define sha512_final la_sha512_final
#define fe_0 la_fe_0
#define fe_1 la_fe_1
#define fe_add la_fe_add
#define fe_cmov la_fe_cmov
#define fe_cswap la_fe_cswap
#define fe_copy la_fe_copy
#define fe_frombytes la_fe_frombytes
#define fe_invert la_fe_invert
#define fe_isnegative la_fe_isnegative
#define fe_isnonzero la_fe_isnonzero
#define fe_mul la_fe_mul
#define fe_mul121666 la_fe_mul121666
#define fe_neg la_fe_neg
#define fe_pow22523 la_fe_pow22523
#define fe_sq la_fe_sq
#define fe_sq2 la_fe_sq2
#define fe_sub la_fe_sub
#define fe_tobytes la_fe_tobytes
#define ge_add la_ge_add
#define ge_double_scalarmult_vartime la_ge_double_scalarmult_vartime
#define ge_frombytes_negate_vartime la_ge_frombytes_negate_vartime
#define ge_madd la_ge_madd
#define ge_msub la_ge_msub
#define ge_p1p1_to_p2 la_ge_p1p1_to_p2
#define ge_p1p1_to_p3 la_ge_p1p1_to_p3
#define ge_p2_0 la_ge_p2_0
#define ge_p2_dbl la_ge_p2_dbl
#define ge_p3_0 la_ge_p3_0
#define ge_p3_dbl la_ge_p3_dbl
#define ge_p3_to_cached la_ge_p3_to_cached
#define ge_p3_to_p2 la_ge_p3_to_p2
#define ge_p3_tobytes la_ge_p3_tobytes
#define ge_scalarmult_base la_ge_scalarmult_base
#define ge_sub la_ge_sub
#define ge_tobytes la_ge_tobytes
#define sc_reduce la_sc_reduce
#define sc_muladd la_sc_muladd
#define p256_generate_random la_p256_generate_random
#define p256_gen_keypair la_p256_gen_keypair
#define p256_ecdh_shared_secret la_p256_ecdh_shared_secret
#define p256_ecdsa_sign la_p256_ecdsa_sign
#define p256_ecdsa_verify la_p256_ecdsa_verify
#define p256_validate_pubkey la_p256_validate_pubkey
#define p256_validate_privkey la_p256_validate_privkey
#define p256_public_from_private la_p256_public_from_private

#include "crypto/fe.c"
#include "crypto/ge.c"
#include "crypto/sc.c"
#include "crypto/sha512.c"
#undef Ch
#undef Maj
#undef S
#undef R
#undef MIN
#include "crypto/sha256.c"
#include "crypto/verify.c"
#ifdef LICENSE_AGENT_TEST_SIGNS
#include "crypto/keypair.c"
#include "crypto/sign.c"
#endif
#include "crypto/p256-m.c"

void la_sha256(const void *data, size_t n, uint8_t out[32]) {
    SHA256_CTX c;
    sha256_init(&c);
    sha256_update(&c, (const BYTE *)data, n);
    sha256_final(&c, out);
}

void la_hmac_sha256(const uint8_t key[32], const void *data, size_t n, uint8_t out[32]) {
    SHA256_CTX c;
    uint8_t pad[64];
    memset(pad, 0x36, sizeof pad);
    for (int i = 0; i < 32; i++)
        pad[i] ^= key[i];
    sha256_init(&c);
    sha256_update(&c, pad, 64);
    sha256_update(&c, (const BYTE *)data, n);
    sha256_final(&c, out);
    for (int i = 0; i < 64; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    sha256_init(&c);
    sha256_update(&c, pad, 64);
    sha256_update(&c, out, 32);
    sha256_final(&c, out);
}

/* ed25519_verify looks at the top three bits of S only; RFC 8032 wants S < L. */
int la_ed25519_verify(const uint8_t sig[64], const void *msg, size_t n, const uint8_t pub[32]) {
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    int i = 31;
    while (i > 0 && sig[32 + i] == order[i])
        i--;
    return sig[32 + i] < order[i] && ed25519_verify(sig, (const unsigned char *)msg, n, pub) == 1;
}

int la_p256_verify(const uint8_t sig[64], const void *msg, size_t n, const uint8_t pub[64]) {
    uint8_t h[32];
    la_sha256(msg, n, h);
    return p256_ecdsa_verify(sig, pub, h, 32) == P256_SUCCESS;
}

int la_p256_usable(const uint8_t pub[64]) { return p256_validate_pubkey(pub) == P256_SUCCESS; }
