/* The device on GnuTLS. */
#include "device.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>

static const struct options *asked;
static gnutls_certificate_credentials_t trusted;
static gnutls_session_t session;
static gnutls_datum_t ticket;
static char priority[256];

static int must(int status, const char *at) {
    if (status == GNUTLS_E_WARNING_ALERT_RECEIVED || status == GNUTLS_E_FATAL_ALERT_RECEIVED)
        fail("GnuTLS, %s: alert %d", at, (int)gnutls_alert_get(session));
    if (status < 0)
        fail("GnuTLS, %s: %s", at, gnutls_strerror(status));
    return status;
}

void tls_set_up(const struct options *options) {
    asked = options;
    must(gnutls_global_init(), "library");
    must(gnutls_certificate_allocate_credentials(&trusted), "credentials");
    must(gnutls_certificate_set_x509_trust_file(trusted, options->ca, GNUTLS_X509_FMT_PEM), "CA file");
    if (options->cert)
        must(gnutls_certificate_set_x509_key_file(trusted, options->cert, options->key, GNUTLS_X509_FMT_PEM),
             "own certificate");
    snprintf(priority, sizeof priority, "NORMAL%s%s%s%s%s%s%s", options->version ? ":-VERS-ALL:+VERS-TLS" : "",
             options->version ? options->version : "", options->groups ? ":-GROUP-ALL:+GROUP-" : "",
             options->groups ? options->groups : "", options->suites ? options->suites : "",
             options->no_ems ? ":%NO_SESSION_HASH" : "", options->no_reneg ? ":%DISABLE_SAFE_RENEGOTIATION" : "");
}

void tls_connect(int fd, struct seen *seen) {
    const char *sni = asked->sni ? asked->sni : asked->name;
    gnutls_datum_t alpn = {(unsigned char *)asked->alpn, 0};
    int status;
    must(gnutls_init(&session, GNUTLS_CLIENT), "session");
    if (asked->version || asked->groups || asked->suites || asked->no_ems || asked->no_reneg)
        must(gnutls_priority_set_direct(session, priority, NULL), priority);
    else
        must(gnutls_set_default_priority(session), "defaults");
    must(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, trusted), "credentials");
    if (strcmp(sni, "none") != 0)
        must(gnutls_server_name_set(session, GNUTLS_NAME_DNS, sni, strlen(sni)), "SNI");
    if (asked->alpn) {
        alpn.size = (unsigned)strlen(asked->alpn);
        must(gnutls_alpn_set_protocols(session, &alpn, 1, 0), "ALPN");
    }
    if (asked->fragment)
        must((int)gnutls_record_set_max_size(session, (size_t)asked->fragment), "fragment");
    gnutls_session_set_verify_cert(session, asked->name, 0);
    if (ticket.data)
        must(gnutls_session_set_data(session, ticket.data, ticket.size), "resumption");
    gnutls_transport_set_int(session, fd);
    do
        status = gnutls_handshake(session);
    while (status < 0 && !gnutls_error_is_fatal(status));
    must(status, "handshake");
    seen->version = gnutls_protocol_get_name(gnutls_protocol_get_version(session));
    seen->suite = gnutls_ciphersuite_get(session);
    seen->resumed = gnutls_session_is_resumed(session);
}

int tls_write(const unsigned char *bytes, int count) {
    return must((int)gnutls_record_send(session, bytes, (size_t)count), "write");
}

int tls_read(unsigned char *bytes, int count) {
    ssize_t got;
    do
        got = gnutls_record_recv(session, bytes, (size_t)count);
    while (got == GNUTLS_E_AGAIN || got == GNUTLS_E_INTERRUPTED);
    if (must((int)got, "read") == 0)
        fail("GnuTLS, read: close_notify");
    return (int)got;
}

void tls_close(void) {
    /* In TLS 1.3 this would wait for a ticket if there is none. */
    int has_ticket = gnutls_protocol_get_version(session) != GNUTLS_TLS1_3 ||
                     (gnutls_session_get_flags(session) & GNUTLS_SFLAGS_SESSION_TICKET) != 0;
    if (has_ticket)
        must(gnutls_session_get_data2(session, &ticket), "session");
    must(gnutls_bye(session, GNUTLS_SHUT_WR), "close");
    gnutls_deinit(session);
}
