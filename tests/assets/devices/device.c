/* An MQTT 3.1.1 device: it connects, verifies the server, and sends CONNECT, PINGREQ, one PUBLISH at QoS 1 and
 * DISCONNECT. It waits for each response, and with `echo` for its own message. It prints its observations as one line
 * of JSON, with the fields in harness/clients/devices.rs. TLS must stay in the files of the stacks.
 *
 *   STACK HOST PORT CA-FILE [OPTION=VALUE...]     the options are in device.h */
#include "device.h"

#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Limit for the whole run, in seconds. */
#define DEADLINE 20
#define MESSAGE_MAX (1 << 20)

static struct seen seen;
static int connack = -1, pinged, acked, received;

static void report(const char *error) {
    printf("{\"error\":\"");
    for (; *error != '\0'; error++)
        putchar(*error < ' ' || *error == '"' || *error == '\\' ? '\'' : *error);
    printf("\",\"version\":\"%s\",\"cipher\":\"%s\",\"resumed\":%s,\"connack\":%d,\"pinged\":%d,\"acked\":%d,\"received\":%d}\n",
           seen.version ? seen.version : "", seen.suite ? seen.suite : "", seen.resumed ? "true" : "false", connack,
           pinged, acked, received);
    fflush(stdout);
}

void fail(const char *format, ...) {
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    report(text);
    _exit(1);
}

static void too_late(int signal) {
    (void)signal;
    static const char text[] = "{\"error\":\"nothing for 20 s\"}\n";
    if (write(STDOUT_FILENO, text, sizeof text - 1) < 0)
        _exit(2);
    _exit(1);
}

static int tcp_connect(const struct options *options) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    int fd, status = getaddrinfo(options->host, options->port, &hints, &found);
    if (status != 0)
        fail("%s: %s", options->host, gai_strerror(status));
    fd = socket(found->ai_family, found->ai_socktype, 0);
    if (fd < 0)
        fail("no socket");
    if (options->buffer > 0 && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &options->buffer, sizeof options->buffer) != 0)
        fail("SO_RCVBUF");
    if (connect(fd, found->ai_addr, found->ai_addrlen) != 0)
        fail("TCP: no connection");
    freeaddrinfo(found);
    return fd;
}

static void write_all(const unsigned char *bytes, int count) {
    while (count > 0) {
        int written = tls_write(bytes, count);
        bytes += written;
        count -= written;
    }
}

/* Reads a packet of at most `room` bytes into `body`, and returns its length. */
static int read_packet(unsigned char *head, unsigned char *body, int room) {
    unsigned char digit = 0x80;
    int have, length = 0, shift = 0;
    tls_read(head, 1);
    for (; digit & 0x80 && shift < 28; shift += 7) {
        tls_read(&digit, 1);
        length |= (digit & 0x7F) << shift;
    }
    if (length > room)
        fail("a packet of %d bytes", length);
    for (have = 0; have < length;)
        have += tls_read(body + have, length - have);
    return length;
}

static void expect(const char *name, unsigned char head, unsigned char *body, int length) {
    unsigned char got;
    int count = read_packet(&got, body, 8);
    if (got != head || count != length)
        fail("not the %s: %02x with %d bytes", name, got, count);
}

/* Writes a PUBLISH at QoS 1 to `topic`, with `payload` bytes of payload, into `packet`, and returns its length. */
static int publish(unsigned char *packet, const char *topic, int payload) {
    int name = (int)strlen(topic), left = 2 + name + 2 + payload, at = 1;
    packet[0] = 0x32;
    do {
        packet[at++] = (unsigned char)((left & 0x7F) | (left > 0x7F ? 0x80 : 0));
        left >>= 7;
    } while (left > 0);
    packet[at] = 0;
    packet[at + 1] = (unsigned char)name;
    memcpy(packet + at + 2, topic, (size_t)name);
    at += 2 + name;
    packet[at] = 0;
    packet[at + 1] = 7;
    for (at += 2; payload > 0; payload--)
        packet[at++] = (unsigned char)payload;
    return at;
}

static void subscribe(const char *topic) {
    unsigned char packet[64] = {0x82, 0, 0, 9, 0}, body[8];
    int name = (int)strlen(topic);
    packet[1] = (unsigned char)(5 + name);
    packet[5] = (unsigned char)name;
    memcpy(packet + 6, topic, (size_t)name);
    write_all(packet, 7 + name);
    expect("SUBACK", 0x90, body, 3);
}

static void mqtt(int round, int echo) {
    static const unsigned char ping[] = {0xC0, 0}, disconnect[] = {0xE0, 0};
    static unsigned char packet[MESSAGE_MAX + 64], body[MESSAGE_MAX + 64];
    unsigned char connect[64] = {0x10, 0, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0}, head;
    int sent, came = 0, length = snprintf((char *)connect + 14, 40, "device-%d-%d", (int)getpid(), round);
    const char *topic = (char *)connect + 14;
    const unsigned char *payload;
    connect[1] = (unsigned char)(12 + length);
    connect[13] = (unsigned char)length;
    write_all(connect, 14 + length);
    expect("CONNACK", 0x20, body, 2);
    connack = body[1];
    if (connack != 0)
        fail("CONNACK refuses");
    write_all(ping, sizeof ping);
    expect("PINGRESP", 0xD0, body, 0);
    pinged++;
    if (echo > 0)
        subscribe(topic);
    sent = publish(packet, topic, echo > 0 ? echo : 4);
    payload = packet + sent - echo;
    write_all(packet, sent);
    /* The broker may send the message back before it acknowledges it. */
    for (; came < (echo > 0 ? 2 : 1); came++) {
        int count = read_packet(&head, body, sizeof body);
        if (head == 0x40 && count == 2 && body[1] == 7)
            acked++;
        else if (head == 0x30 && count == 2 + length + echo && memcmp(body + 2 + length, payload, (size_t)echo) == 0)
            received++;
        else
            fail("neither PUBACK nor the message: %02x with %d bytes", head, count);
    }
    write_all(disconnect, sizeof disconnect);
}

static void parse(struct options *options, int count, char **values) {
    const struct {
        const char *name;
        const char **text;
        int *number;
    } known[] = {
        {"cert", &options->cert, NULL},       {"key", &options->key, NULL},     {"version", &options->version, NULL}, {"name", &options->name, NULL},   {"sni", &options->sni, NULL},
        {"groups", &options->groups, NULL},   {"suites", &options->suites, NULL}, {"alpn", &options->alpn, NULL},
        {"fragment", NULL, &options->fragment}, {"buffer", NULL, &options->buffer},
        {"no_ems", NULL, &options->no_ems},   {"no_reneg", NULL, &options->no_reneg},
        {"rounds", NULL, &options->rounds},   {"echo", NULL, &options->echo},
    };
    for (int i = 0; i < count; i++) {
        const char *value = strchr(values[i], '=');
        size_t j = 0, all = sizeof known / sizeof *known, length = value ? (size_t)(value - values[i]) : 0;
        while (j < all && (strlen(known[j].name) != length || strncmp(values[i], known[j].name, length) != 0))
            j++;
        if (value == NULL || j == all)
            fail("no such option: %s", values[i]);
        if (known[j].text != NULL)
            *known[j].text = value + 1;
        else
            *known[j].number = atoi(value + 1);
    }
}

int main(int count, char **values) {
    struct options options = {.name = "localhost", .rounds = 1};
    if (count < 4) {
        fprintf(stderr, "usage: STACK HOST PORT CA-FILE [OPTION=VALUE...]\n");
        return 2;
    }
    options.host = values[1];
    options.port = values[2];
    options.ca = values[3];
    parse(&options, count - 4, values + 4);
    if (options.echo > MESSAGE_MAX)
        fail("a message of %d bytes", options.echo);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, too_late);
    alarm(DEADLINE);
    tls_set_up(&options);
    for (int round = 1; round <= options.rounds; round++) {
        int fd = tcp_connect(&options);
        tls_connect(fd, &seen);
        mqtt(round, options.echo);
        tls_close();
        close(fd);
    }
    report("");
    return 0;
}
