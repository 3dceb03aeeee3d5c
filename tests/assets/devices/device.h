/* Between device.c, which knows MQTT and the command line, and one file for each TLS stack. */
#ifndef DEVICE_H
#define DEVICE_H

/* The options of the command line. NULL or 0 selects the library's default. */
struct options {
    const char *host, *port, *ca; /* the address, and the file with the root */
    const char *cert, *key;       /* files with the device's own chain and key */
    const char *version;          /* "1.2" or "1.3" alone */
    const char *name;             /* for the verification of the certificate, and for SNI */
    const char *sni;              /* another SNI, or "none" */
    const char *groups;           /* key exchanges, in the stack's syntax */
    const char *suites;           /* cipher suites, in the stack's syntax */
    const char *alpn;             /* one protocol */
    int fragment;                 /* largest record to request, in bytes: max_fragment_length, record_size_limit */
    int buffer;                   /* SO_RCVBUF, in bytes */
    int no_ems;                   /* without extended_master_secret (RFC 7627) */
    int no_reneg;                 /* without renegotiation_info (RFC 5746) */
    int echo;                     /* bytes of a message to send and to receive */
    int rounds;                   /* number of sessions; each after the first resumes the previous one */
};

/* What was negotiated last. The texts are static, or live as long as the connection. */
struct seen {
    const char *version, *suite;
    int resumed;
};

/* Reports the stack's error and ends the program. */
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One TLS stack, with one connection at a time. On an error each function calls fail(). */
void tls_set_up(const struct options *options);
void tls_connect(int fd, struct seen *seen);
/* Both transfer one to `count` bytes, and return the number. */
int tls_write(const unsigned char *bytes, int count);
int tls_read(unsigned char *bytes, int count);
/* Keeps the session for the next connection, sends close_notify, and frees the connection. */
void tls_close(void);

#endif
