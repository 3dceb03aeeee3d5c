// A device on MQTT.js and the TLS of Node.js (OpenSSL): it connects, pings, publishes at QoS 1, and ends.
//
//   node device.js HOST PORT CA-FILE [version=1.2|1.3] [echo=BYTES] [rounds=2] [cert=FILE key=FILE]
//
// With `echo` it also subscribes, and waits for its own message. It prints its observations as one line of JSON, with
// the fields of ../devices/device.c; harness/clients/devices.rs reads it. It must not judge them.
"use strict";

const { readFileSync } = require("node:fs");
const { once } = require("node:events");
const mqtt = require("mqtt");

const DEADLINE = 20_000;
const seen = { error: "", version: "", cipher: "", resumed: false, connack: -1, pinged: 0, acked: 0, received: 0 };

function report() {
  process.stdout.write(JSON.stringify(seen) + "\n", () => process.exit(seen.error ? 1 : 0));
}

async function connection(url, options, echo) {
  const client = mqtt.connect(url, options);
  // In TLS 1.3 it arrives any time after the handshake. The next connection uses it.
  client.stream.on("session", (ticket) => (options.session = ticket));
  const failed = once(client, "error").then(([error]) => Promise.reject(error));
  // The race below reports it; an unhandled rejection would end the program.
  failed.catch(() => {});
  const soon = (step) => Promise.race([step, failed]);
  const packet = (command) =>
    new Promise((resolve) => client.on("packetreceive", (one) => one.cmd === command && resolve(one)));
  const connack = packet("connack");
  await soon(once(client, "connect"));
  seen.connack = (await connack).returnCode;
  seen.version = client.stream.getProtocol();
  seen.cipher = client.stream.getCipher().standardName;
  seen.resumed = client.stream.isSessionReused();
  const pingresp = packet("pingresp");
  client.sendPing();
  await soon(pingresp);
  seen.pinged++;
  const payload = Buffer.alloc(echo || 4, "x");
  const message = once(client, "message");
  if (echo) await soon(client.subscribeAsync(options.clientId));
  await soon(client.publishAsync(options.clientId, payload, { qos: 1 }));
  seen.acked++;
  if (echo) {
    const [, came] = await soon(message);
    if (came.equals(payload)) seen.received++;
  }
  await soon(client.endAsync());
}

async function main() {
  const [host, port, ca, ...rest] = process.argv.slice(2);
  const { version, echo, rounds, cert, key, ...unknown } = Object.fromEntries(rest.map((option) => option.split("=")));
  if (Object.keys(unknown).length > 0) throw new Error(`no such option: ${Object.keys(unknown)}`);
  const options = { ca: readFileSync(ca), servername: "localhost", reconnectPeriod: 0, connectTimeout: DEADLINE };
  if (cert) Object.assign(options, { cert: readFileSync(cert), key: readFileSync(key) });
  if (version) options.minVersion = options.maxVersion = `TLSv${version}`;
  for (let round = 1; round <= Number(rounds ?? 1); round++) {
    options.clientId = `device-js-${process.pid}-${round}`;
    await connection(`mqtts://${host}:${port}`, options, Number(echo ?? 0));
  }
}

setTimeout(() => {
  seen.error = "MQTT.js: nothing for 20 s";
  report();
}, DEADLINE);
main()
  .catch((error) => {
    seen.error = `MQTT.js: ${error.code ?? ""} ${error.message}`;
  })
  .then(report);
