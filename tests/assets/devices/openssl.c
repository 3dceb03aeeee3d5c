/* The device on OpenSSL. */
#include "device.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>

static const struct options *asked;
static SSL_CTX *context;
static SSL *ssl;
static SSL_SESSION *session;

static _Noreturn void failed(const char *at) {
    unsigned long code = ERR_peek_error();
    const char *text = code != 0 ? ERR_reason_error_string(code) : NULL;
    int alert = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET;
    if (code != 0 && alert >= 0 && alert < 256)
        fail("OpenSSL, %s: alert %d", at, alert);
    fail("OpenSSL, %s: %s", at, text ? text : "the connection ended");
}

static void must(int good, const char *at) {
    if (!good)
        failed(at);
}

/* In TLS 1.3 tickets arrive any time after the handshake. Returning 1 takes the reference. */
static int keep(SSL *of, SSL_SESSION *new) {
    (void)of;
    SSL_SESSION_free(session);
    session = new;
    return 1;
}

void tls_set_up(const struct options *options) {
    int version = options->version == NULL ? 0 : strcmp(options->version, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    asked = options;
    context = SSL_CTX_new(TLS_client_method());
    must(context != NULL, "context");
    must(SSL_CTX_load_verify_file(context, options->ca), "CA file");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (options->cert)
        must(SSL_CTX_use_certificate_chain_file(context, options->cert) == 1 &&
                 SSL_CTX_use_PrivateKey_file(context, options->key, SSL_FILETYPE_PEM) == 1,
             "own certificate");
    if (version != 0)
        must(SSL_CTX_set_min_proto_version(context, version) && SSL_CTX_set_max_proto_version(context, version), "version");
    if (options->groups)
        must(SSL_CTX_set1_groups_list(context, options->groups), "groups");
    if (options->suites && strncmp(options->suites, "TLS_", 4) == 0)
        must(SSL_CTX_set_ciphersuites(context, options->suites), "suites");
    else if (options->suites)
        must(SSL_CTX_set_cipher_list(context, options->suites), "suites");
    if (options->no_ems)
        SSL_CTX_set_options(context, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    if (options->fragment)
        must(SSL_CTX_set_tlsext_max_fragment_length(context, options->fragment == 512    ? TLSEXT_max_fragment_length_512
                                                             : options->fragment == 1024 ? TLSEXT_max_fragment_length_1024
                                                                                         : TLSEXT_max_fragment_length_4096),
             "fragment");
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep);
}

void tls_connect(int fd, struct seen *seen) {
    const char *sni = asked->sni ? asked->sni : asked->name;
    unsigned char alpn[256];
    ssl = SSL_new(context);
    must(ssl != NULL && SSL_set_fd(ssl, fd) && SSL_set1_host(ssl, asked->name), "connection");
    if (strcmp(sni, "none") != 0)
        must(SSL_set_tlsext_host_name(ssl, sni), "SNI");
    if (asked->alpn) {
        alpn[0] = (unsigned char)snprintf((char *)alpn + 1, sizeof alpn - 1, "%s", asked->alpn);
        must(SSL_set_alpn_protos(ssl, alpn, alpn[0] + 1u) == 0, "ALPN");
    }
    if (session)
        must(SSL_set_session(ssl, session), "session");
    must(SSL_connect(ssl) == 1, "handshake");
    seen->version = SSL_get_version(ssl);
    seen->suite = SSL_get_cipher_name(ssl);
    seen->resumed = SSL_session_reused(ssl);
}

int tls_write(const unsigned char *bytes, int count) {
    int written = SSL_write(ssl, bytes, count);
    must(written > 0, "write");
    return written;
}

int tls_read(unsigned char *bytes, int count) {
    int got = SSL_read(ssl, bytes, count);
    must(got > 0, "read");
    return got;
}

void tls_close(void) {
    must(SSL_shutdown(ssl) >= 0, "close");
    SSL_free(ssl);
}
