"""Clients of paho-mqtt that connect, publish and end, all in one process.

Its one argument is JSON: {"host", "port", "ca", "end", "clients": [{"id", "topic", "will", "count", "size"}]}. With
"end": "disconnect" they call disconnect(), and the process ends when all have; with "kill" they stay until the
process is killed. In both cases it prints "sent" once everything was written to the sockets. It must not judge.
"""

import json
import sys
import threading
import time

import paho.mqtt.client as mqtt

DEADLINE = 30


def publish(order, wanted):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=wanted["id"])
    client.tls_set(ca_certs=order["ca"])
    client.will_set(wanted["will"], b"gone")
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect(order["host"], order["port"])
    client.loop_start()
    if not connected.wait(DEADLINE):
        raise TimeoutError(f"no CONNACK for {wanted['id']}")
    for _ in range(wanted["count"]):
        client.publish(wanted["topic"], bytes(wanted["size"]))
    if order["end"] == "disconnect":
        client.disconnect()
        # Ends the thread of loop_start once everything, including DISCONNECT, was written.
        client.loop_stop()
    else:
        deadline = time.monotonic() + DEADLINE
        while client.want_write() and time.monotonic() < deadline:
            time.sleep(0.01)


def main():
    order = json.loads(sys.argv[1])
    failed = []
    threading.excepthook = lambda hooked: failed.append(repr(hooked.exc_value))
    threads = [threading.Thread(target=publish, args=(order, wanted)) for wanted in order["clients"]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit("\n".join(failed))
    print("sent", flush=True)
    if order["end"] == "kill":
        threading.Event().wait()


main()
