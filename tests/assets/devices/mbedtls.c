/* The device on Mbed TLS 2.28, which is common on microcontrollers. It has no TLS 1.3. */
#include "device.h"

#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
#include <string.h>

static const struct options *asked;
static mbedtls_entropy_context entropy;
static mbedtls_ctr_drbg_context random_bytes;
static mbedtls_x509_crt trusted, own;
static mbedtls_pk_context key;
static mbedtls_ssl_config config;
static mbedtls_ssl_context ssl;
static mbedtls_ssl_session session;
static mbedtls_net_context net;
static int has_session, suites[2];
static mbedtls_ecp_group_id groups[2] = {MBEDTLS_ECP_DP_NONE, MBEDTLS_ECP_DP_NONE};
static const char *alpn[2];

static int must(int status, const char *at) {
    char text[256];
    if (status == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
        fail("Mbed TLS, %s: alert %d", at, ssl.in_msg[1]);
    if (status < 0) {
        mbedtls_strerror(status, text, sizeof text);
        fail("Mbed TLS, %s: %s", at, text);
    }
    return status;
}

static void narrow(const struct options *options) {
    if (options->version && strcmp(options->version, "1.2") != 0)
        fail("Mbed TLS 2.28 has no TLS %s", options->version);
    if (options->suites) {
        suites[0] = mbedtls_ssl_get_ciphersuite_id(options->suites);
        if (suites[0] == 0)
            fail("Mbed TLS has no %s", options->suites);
        mbedtls_ssl_conf_ciphersuites(&config, suites);
    }
    if (options->groups) {
        const mbedtls_ecp_curve_info *curve = mbedtls_ecp_curve_info_from_name(options->groups);
        if (curve == NULL)
            fail("Mbed TLS has no %s", options->groups);
        groups[0] = curve->grp_id;
        mbedtls_ssl_conf_curves(&config, groups);
    }
    if (options->fragment)
        must(mbedtls_ssl_conf_max_frag_len(&config, options->fragment == 512    ? MBEDTLS_SSL_MAX_FRAG_LEN_512
                                                    : options->fragment == 1024 ? MBEDTLS_SSL_MAX_FRAG_LEN_1024
                                                                                : MBEDTLS_SSL_MAX_FRAG_LEN_4096),
             "fragment");
    if (options->no_ems)
        mbedtls_ssl_conf_extended_master_secret(&config, MBEDTLS_SSL_EXTENDED_MS_DISABLED);
    if (options->alpn) {
        alpn[0] = options->alpn;
        must(mbedtls_ssl_conf_alpn_protocols(&config, alpn), "ALPN");
    }
}

void tls_set_up(const struct options *options) {
    asked = options;
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&random_bytes);
    mbedtls_x509_crt_init(&trusted);
    mbedtls_ssl_config_init(&config);
    mbedtls_ssl_session_init(&session);
    must(mbedtls_ctr_drbg_seed(&random_bytes, mbedtls_entropy_func, &entropy, NULL, 0), "randomness");
    must(mbedtls_x509_crt_parse_file(&trusted, options->ca), "CA file");
    must(mbedtls_ssl_config_defaults(&config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                     MBEDTLS_SSL_PRESET_DEFAULT),
         "defaults");
    mbedtls_ssl_conf_ca_chain(&config, &trusted, NULL);
    mbedtls_ssl_conf_authmode(&config, MBEDTLS_SSL_VERIFY_REQUIRED);
    mbedtls_x509_crt_init(&own);
    mbedtls_pk_init(&key);
    if (options->cert) {
        must(mbedtls_x509_crt_parse_file(&own, options->cert), "own certificate");
        must(mbedtls_pk_parse_keyfile(&key, options->key, NULL), "own key");
        must(mbedtls_ssl_conf_own_cert(&config, &own, &key), "own certificate");
    }
    mbedtls_ssl_conf_rng(&config, mbedtls_ctr_drbg_random, &random_bytes);
    narrow(options);
}

void tls_connect(int fd, struct seen *seen) {
    /* The library uses one name for SNI and verification. */
    const char *name = asked->sni ? asked->sni : asked->name;
    int status;
    mbedtls_ssl_init(&ssl);
    must(mbedtls_ssl_setup(&ssl, &config), "connection");
    if (strcmp(name, "none") != 0)
        must(mbedtls_ssl_set_hostname(&ssl, name), "name");
    if (has_session)
        must(mbedtls_ssl_set_session(&ssl, &session), "session");
    net.fd = fd;
    mbedtls_ssl_set_bio(&ssl, &net, mbedtls_net_send, mbedtls_net_recv, NULL);
    do
        status = mbedtls_ssl_handshake(&ssl);
    while (status == MBEDTLS_ERR_SSL_WANT_READ || status == MBEDTLS_ERR_SSL_WANT_WRITE);
    must(status, "handshake");
    seen->version = mbedtls_ssl_get_version(&ssl);
    seen->suite = mbedtls_ssl_get_ciphersuite(&ssl);
    /* The library does not report resumption; compare the sessions instead. */
    if (has_session) {
        mbedtls_ssl_session now;
        mbedtls_ssl_session_init(&now);
        must(mbedtls_ssl_get_session(&ssl, &now), "session");
        seen->resumed = memcmp(now.master, session.master, sizeof now.master) == 0;
        mbedtls_ssl_session_free(&now);
    }
}

int tls_write(const unsigned char *bytes, int count) {
    return must(mbedtls_ssl_write(&ssl, bytes, (size_t)count), "write");
}

int tls_read(unsigned char *bytes, int count) {
    int got = must(mbedtls_ssl_read(&ssl, bytes, (size_t)count), "read");
    if (got == 0)
        fail("Mbed TLS, read: the connection ended");
    return got;
}

void tls_close(void) {
    mbedtls_ssl_session_free(&session);
    mbedtls_ssl_session_init(&session);
    must(mbedtls_ssl_get_session(&ssl, &session), "session");
    has_session = 1;
    must(mbedtls_ssl_close_notify(&ssl), "close");
    mbedtls_ssl_free(&ssl);
}
