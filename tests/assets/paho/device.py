"""A device on paho-mqtt: it connects over TLS, publishes at QoS 1, and disconnects as paho-mqtt does.

    python device.py HOST PORT CA-FILE [version=1.2|1.3] [mqtt=3.1.1|5] [echo=BYTES] [cert=FILE key=FILE]

With `echo` it also subscribes, and waits for its own message. It prints its observations as one line of JSON, with the
fields of ../devices/device.c, and with paho-mqtt's words for a refusal as the error; harness/clients/devices.rs reads it.
It must not judge them.
"""

import json
import os
import ssl
import sys
import threading

import paho.mqtt.client as mqtt

DEADLINE = 20
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
PROTOCOLS = {"3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}


class Device:
    def __init__(self, ca, version, protocol, echo, cert, key):
        self.seen = {"error": "", "version": "", "cipher": "", "connack": -1, "acked": 0, "received": 0}
        self.topic = f"device-paho-{os.getpid()}"
        self.payload = b"x" * (echo or 4)
        self.steps = {name: threading.Event() for name in ("connack", "suback", "message")}
        self.refusal = None
        self.client = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id=self.topic, protocol=PROTOCOLS[protocol]
        )
        context = ssl.create_default_context(cafile=ca)
        if cert:
            context.load_cert_chain(cert, key)
        if version:
            context.minimum_version = context.maximum_version = VERSIONS[version]
        self.client.tls_set_context(context)
        self.client.on_connect = self.connected
        self.client.on_subscribe = lambda *_: self.steps["suback"].set()
        self.client.on_message = self.message

    def connected(self, client, _data, _flags, reason, _properties):
        self.seen["connack"] = reason.value
        self.refusal = str(reason) if reason.is_failure else None
        self.seen["version"] = client.socket().version()
        self.seen["cipher"] = client.socket().cipher()[0]
        self.steps["connack"].set()

    def message(self, _client, _data, message):
        self.seen["received"] += message.payload == self.payload
        self.steps["message"].set()

    def wait(self, step):
        if not self.steps[step].wait(DEADLINE):
            raise TimeoutError(f"no {step}")

    def run(self, host, port, echo):
        # Not in the loop's thread, so that a failed handshake raises, and is not retried for ever.
        self.client.connect(host, port)
        self.client.loop_start()
        self.wait("connack")
        if self.refusal:
            raise ConnectionRefusedError(self.refusal)
        if echo:
            self.client.subscribe(self.topic)
            self.wait("suback")
        sent = self.client.publish(self.topic, self.payload, qos=1)
        sent.wait_for_publish(DEADLINE)
        self.seen["acked"] += sent.is_published()
        if echo:
            self.wait("message")
        self.client.disconnect()
        self.client.loop_stop()


def main():
    host, port, ca, *rest = sys.argv[1:]
    options = dict(option.split("=", 1) for option in rest)
    echo = int(options.pop("echo", 0))
    version, protocol = options.pop("version", None), options.pop("mqtt", "3.1.1")
    device = Device(ca, version, protocol, echo, options.pop("cert", None), options.pop("key", None))
    try:
        if options:
            raise ValueError(f"no such option: {options}")
        device.run(host, int(port), echo)
    except Exception as error:  # any error is the result
        device.seen["error"] = f"paho-mqtt: {type(error).__name__}: {error}"
    print(json.dumps(device.seen))


main()
