/* The device on wolfSSL, with the options of Debian's build. */
#include <wolfssl/options.h>

#include <wolfssl/ssl.h>

#include "device.h"

#include <string.h>

static const struct options *asked;
static WOLFSSL_CTX *context;
static WOLFSSL *ssl;
static WOLFSSL_SESSION *session;

static void must(int good, const char *at) {
    char text[WOLFSSL_MAX_ERROR_SZ] = "";
    int code = ssl ? wolfSSL_get_error(ssl, 0) : 0;
    WOLFSSL_ALERT_HISTORY alerts;
    if (good)
        return;
    if (ssl && wolfSSL_get_alert_history(ssl, &alerts) == WOLFSSL_SUCCESS && alerts.last_rx.code > 0)
        fail("wolfSSL, %s: alert %d", at, alerts.last_rx.code);
    wolfSSL_ERR_error_string((unsigned long)code, text);
    fail("wolfSSL, %s: %d, %s", at, code, text);
}

static WOLFSSL_METHOD *method(const char *version) {
    if (version == NULL)
        return wolfTLS_client_method();
    return strcmp(version, "1.2") == 0 ? wolfTLSv1_2_client_method() : wolfTLSv1_3_client_method();
}

static unsigned char fragment(int bytes) {
    return bytes == 512 ? WOLFSSL_MFL_2_9 : bytes == 1024 ? WOLFSSL_MFL_2_10 : WOLFSSL_MFL_2_12;
}

void tls_set_up(const struct options *options) {
    asked = options;
    must(wolfSSL_Init() == WOLFSSL_SUCCESS, "library");
    context = wolfSSL_CTX_new(method(options->version));
    must(context != NULL, "context");
    must(wolfSSL_CTX_load_verify_locations(context, options->ca, NULL) == WOLFSSL_SUCCESS, "CA file");
    wolfSSL_CTX_set_verify(context, WOLFSSL_VERIFY_PEER, NULL);
    if (options->cert)
        must(wolfSSL_CTX_use_certificate_chain_file(context, options->cert) == WOLFSSL_SUCCESS &&
                 wolfSSL_CTX_use_PrivateKey_file(context, options->key, WOLFSSL_FILETYPE_PEM) == WOLFSSL_SUCCESS,
             "own certificate");
    if (options->suites)
        must(wolfSSL_CTX_set_cipher_list(context, options->suites) == WOLFSSL_SUCCESS, "suites");
    if (options->fragment)
        must(wolfSSL_CTX_UseMaxFragment(context, fragment(options->fragment)) == WOLFSSL_SUCCESS, "fragment");
    if (options->groups)
        must(wolfSSL_CTX_UseSupportedCurve(context, WOLFSSL_ECC_SECP256R1) == WOLFSSL_SUCCESS, "groups");
    if (options->no_ems)
        must(wolfSSL_CTX_DisableExtendedMasterSecret(context) == WOLFSSL_SUCCESS, "no_ems");
    /* In TLS 1.2 tickets are off by default. */
    if (options->rounds > 1)
        must(wolfSSL_CTX_UseSessionTicket(context) == WOLFSSL_SUCCESS, "tickets");
}

void tls_connect(int fd, struct seen *seen) {
    const char *sni = asked->sni ? asked->sni : asked->name;
    ssl = wolfSSL_new(context);
    must(ssl != NULL && wolfSSL_set_fd(ssl, fd) == WOLFSSL_SUCCESS, "connection");
    must(wolfSSL_check_domain_name(ssl, asked->name) == WOLFSSL_SUCCESS, "name");
    if (strcmp(sni, "none") != 0)
        must(wolfSSL_UseSNI(ssl, WOLFSSL_SNI_HOST_NAME, sni, (unsigned short)strlen(sni)) == WOLFSSL_SUCCESS, "SNI");
    if (asked->alpn)
        must(wolfSSL_UseALPN(ssl, (char *)asked->alpn, (unsigned)strlen(asked->alpn),
                             WOLFSSL_ALPN_CONTINUE_ON_MISMATCH) == WOLFSSL_SUCCESS,
             "ALPN");
    /* It rejects a session that cannot be resumed, which leads to a full handshake. */
    if (session)
        (void)wolfSSL_set_session(ssl, session);
    must(wolfSSL_connect(ssl) == WOLFSSL_SUCCESS, "handshake");
    seen->version = wolfSSL_get_version(ssl);
    seen->suite = wolfSSL_get_cipher_name(ssl);
    seen->resumed = wolfSSL_session_reused(ssl);
}

int tls_write(const unsigned char *bytes, int count) {
    int written = wolfSSL_write(ssl, bytes, count);
    must(written > 0, "write");
    return written;
}

int tls_read(unsigned char *bytes, int count) {
    int got = wolfSSL_read(ssl, bytes, count);
    must(got > 0, "read");
    return got;
}

void tls_close(void) {
    session = wolfSSL_get1_session(ssl);
    must(wolfSSL_shutdown(ssl) >= 0, "close");
    wolfSSL_free(ssl);
    ssl = NULL;
}
