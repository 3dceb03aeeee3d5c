/* Between device.c, which knows MQTT and the command line, and one file for each TLS stack. */
#ifndef DEVICE_H
#define DEVICE_H

/* What the command line asks for. NULL or 0: what the library does by itself. */
struct options {
    const char *host, *port, *ca; /* the address, and the file with the root */
    const char *cert, *key;       /* files with the device's own chain and key */
    const char *version;          /* "1.2" or "1.3" alone */
    const char *name;             /* for the check of the certificate, and for SNI */
    const char *sni;              /* another SNI, or "none" */
    const char *groups;           /* key exchanges, as the stack writes them */
    const char *suites;           /* cipher suites, as the stack writes them */
    const char *alpn;             /* one protocol */
    int fragment;                 /* largest record to ask for, in bytes: max_fragment_length, record_size_limit */
    int buffer;                   /* SO_RCVBUF, in bytes */
    int no_ems;                   /* without extended_master_secret (RFC 7627) */
    int no_reneg;                 /* without renegotiation_info (RFC 5746) */
    int echo;                     /* bytes of a message to send and to get back */
    int rounds;                   /* how many sessions, each after the first with what the one before left */
};

/* What was negotiated last. Static texts, or such that live as long as the connection. */
struct seen {
    const char *version, *suite;
    int resumed;
};

/* Tells the failure in the stack's words and ends the program. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One TLS stack. There is one connection at a time. Each function ends the program by fail(). */
void tls_set_up(const struct options *options);
void tls_connect(int fd, struct seen *seen);
/* Both take one to `count` bytes, and hand back how many. */
int tls_write(const unsigned char *bytes, int count);
int tls_read(unsigned char *bytes, int count);
/* Keeps the session for the next connection, sends close_notify, and frees the connection. */
void tls_close(void);

#endif
