// A broker's WebSocket port and a client of it, for protocol.rs: what `ws` receives goes to the broker's TCP port, and MQTT.js
// publishes and receives its own message through the terminator. It prints the message.
//
//     node -e SCRIPT broker BROKER-PORT      prints its own port
//     node -e SCRIPT client PORT CA-FILE

const net = require("net");
const [role, port, ca] = process.argv.slice(1);

if (role === "broker") {
  const ws = require("ws");
  const server = new ws.WebSocketServer({ host: "127.0.0.1", port: 0, handleProtocols: () => "mqtt" });
  server.on("listening", () => console.log(`port ${server.address().port}`));
  server.on("connection", (socket) => {
    const stream = ws.createWebSocketStream(socket);
    const broker = net.connect(Number(port), "127.0.0.1");
    stream.pipe(broker).pipe(stream);
    stream.on("error", () => broker.destroy());
    broker.on("error", () => stream.destroy());
  });
} else {
  const mqtt = require("mqtt");
  const client = mqtt.connect(`wss://localhost:${port}/mqtt`, {
    ca: require("fs").readFileSync(ca),
    family: 4,
    reconnectPeriod: 0,
  });
  const topic = `websocket/${process.pid}`;
  client.on("connect", () => client.subscribe(topic, { qos: 1 }, () => client.publish(topic, "21", { qos: 1 })));
  client.on("message", (_, payload) => {
    console.log(`received ${payload}`);
    client.end(false, () => process.exit(0));
  });
  client.on("error", (error) => {
    console.log(`error ${error.message}`);
    process.exit(1);
  });
}
