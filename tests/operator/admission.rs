//! What the API server rejects by the resource's validation rules, each with its message.

use crate::fixture::installed;

const NAME: &str = "edge";

/// An accepted spec with one line replaced or added.
fn manifest(name: &str, replaced: &str, by: &str) -> String {
    let manifest = format!(
        "apiVersion: mqtt.smartboot.tech/v1alpha1
kind: MqttTlsListener
metadata: {{name: {name}}}
spec:
  certificates: [{{secretRef: {{name: edge-tls}}}}]
  backend: {{service: {{name: smart-mqtt}}}}
"
    );
    if replaced.is_empty() {
        return format!("{manifest}  {by}\n");
    }
    let line = manifest
        .lines()
        .find(|line| line.trim_start().starts_with(replaced))
        .unwrap();
    manifest.replace(line, &format!("  {by}"))
}

/// The line to replace (or none), its replacement, and the API server's message.
const REFUSED: &[(&str, &str, &str)] = &[
    ("", "port: 9883", "port 9883 is reserved for probes"),
    ("", "port: 0", "should be greater than or equal to 1"),
    ("", "port: 65536", "should be less than or equal to 65535"),
    (
        "",
        "host: here",
        "host must be an IP address, such as 0.0.0.0",
    ),
    ("", "host: 127.0.0.1", "host is a loopback address"),
    ("", "host: '::1'", "host is a loopback address"),
    ("", "host: 224.0.0.1", "host is a multicast or broadcast"),
    ("", "host: 'ff02::1'", "host is a multicast or broadcast"),
    (
        "",
        "host: 255.255.255.255",
        "host is a multicast or broadcast",
    ),
    ("", "host: 0.0.0.1", "or one of 0.0.0.0/8"),
    (
        "certificates",
        "certificates: []",
        "should have at least 1 items",
    ),
    (
        "certificates",
        "certificates: [{secretRef: {name: a}}, {secretRef: {name: b}}, {secretRef: {name: a}}]",
        "certificates lists the same Secret twice",
    ),
    (
        "certificates",
        "certificates: [{secretRef: {name: A_B}}]",
        "must be the name of an object: a-z, 0-9, - and ., first and last a letter or digit; it is A_B",
    ),
    (
        "certificates",
        "certificates: [{secretRef: {}}]",
        "Required value",
    ),
    (
        "certificates",
        "certificates: [{}]",
        "a certificate needs one source",
    ),
    (
        "certificates",
        "certificates: [{secretRef: {name: a}, issuerRef: {name: ca}}]",
        "a certificate needs one source",
    ),
    (
        "certificates",
        "certificates: [{secretRef: {name: a}, dnsNames: [a.example.com]}]",
        "are for certificates with issuerRef",
    ),
    (
        "certificates",
        "certificates: [{issuerRef: {name: ca}, dnsNames: [a.example.com], duration: 59m}]",
        "must be a duration from 1h to 876000h, such as 30s, 1m30s or 500ms; it is 59m",
    ),
    (
        "certificates",
        "certificates: [{issuerRef: {name: ca}, dnsNames: [a.example.com], renewBefore: 2160h}]",
        "renewBefore must be shorter than duration",
    ),
    (
        "certificates",
        "certificates: [{issuerRef: {name: ca}, dnsNames: [a.example.com], privateKey: {size: 2048}}]",
        "size must be 256 or 384 with ECDSA",
    ),
    (
        "certificates",
        "certificates: [{secretRef: {name: a}, optional: true}]",
        "the first certificate is the default, and must not be optional",
    ),
    // Without the CA, anyone would be accepted.
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: ConfigMap, name: a, optional: true}}",
        r#"unknown field "spec.clientAuth.caRef.optional""#,
    ),
    (
        "",
        "referenceGrace: 721h",
        "must be a duration from 0s to 720h",
    ),
    (
        "",
        "trial: {strategy: Later}",
        "supported values: \"Gradual\", \"Immediate\"",
    ),
    (
        "",
        "trial: {strategy: Immediate, minStep: 10m}",
        "with trial.strategy Immediate nothing is tried; remove the other fields, or strategy",
    ),
    (
        "",
        "trial: {steps: []}",
        "spec.trial.steps in body should have at least 2 items",
    ),
    (
        "",
        "trial: {steps: [100]}",
        "spec.trial.steps in body should have at least 2 items",
    ),
    (
        "",
        "trial: {steps: [1, 2, 3, 4, 5, 6, 7, 8, 100]}",
        "must have at most 8 items",
    ),
    (
        "",
        "trial: {steps: [0, 100]}",
        "should be greater than or equal to 1",
    ),
    (
        "",
        "trial: {steps: [100, 101]}",
        "should be less than or equal to 100",
    ),
    (
        "",
        "trial: {steps: [5, 1, 100]}",
        "steps must rise to 100, such as 1, 5, 25, 100",
    ),
    (
        "",
        "trial: {steps: [5, 5, 100]}",
        "steps must rise to 100, such as 1, 5, 25, 100",
    ),
    (
        "",
        "trial: {steps: [1, 5]}",
        "steps must rise to 100, such as 1, 5, 25, 100",
    ),
    (
        "",
        "trial: {minHandshakes: 9}",
        "should be greater than or equal to 10",
    ),
    (
        "",
        "trial: {minHandshakes: 1000001}",
        "should be less than or equal to 1000000",
    ),
    (
        "",
        "trial: {minStep: 999ms}",
        "must be a duration from 1s to 168h, such as 30s, 1m30s or 500ms; it is 999ms",
    ),
    (
        "",
        "trial: {maxStep: 721h}",
        "must be a duration from 1s to 720h, such as 30s, 1m30s or 500ms; it is 721h",
    ),
    (
        "",
        "trial: {remember: 59s}",
        "must be a duration from 1m to 168h, such as 30s, 1m30s or 500ms; it is 59s",
    ),
    (
        "",
        "trial: {minStep: 25h}",
        "minStep, whose default is 10m, must not be longer than maxStep, whose default is 24h",
    ),
    (
        "",
        "trial: {maxStep: 9m}",
        "minStep, whose default is 10m, must not be longer than maxStep, whose default is 24h",
    ),
    (
        "",
        "clientAuth: {mode: Require}",
        "clientAuth.mode Optional, Require and DryRun need clientAuth.caRef",
    ),
    (
        "",
        "clientAuth: {mode: Optional}",
        "clientAuth.mode Optional, Require and DryRun need clientAuth.caRef",
    ),
    (
        "",
        "clientAuth: {mode: Sometimes}",
        "supported values: \"None\", \"Optional\", \"Require\", \"DryRun\"",
    ),
    (
        "",
        "clientAuth: {caRef: {kind: Secret, name: a}}",
        "spec.clientAuth.mode: Required value",
    ),
    ("", "clientAuth: {}", "spec.clientAuth.mode: Required value"),
    // YAML's null: it must not be read as `mode: None`.
    (
        "",
        "clientAuth:",
        "clientAuth must not be empty: set clientAuth.mode to Require or Optional",
    ),
    (
        "",
        "tls: {minVersion: Tls11}",
        "supported values: \"Tls12\", \"Tls13\"",
    ),
    (
        "",
        "tls: {minVersion: Tls13, maxVersion: Tls12}",
        "minVersion is higher than maxVersion; lower it, or remove maxVersion",
    ),
    (
        "",
        "tls: {maxVersion: Tls12, suites: [TLS_AES_128_GCM_SHA256]}",
        "suites has none of TLS 1.2, which is on",
    ),
    (
        "",
        "tls: {suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]}",
        "suites has none of TLS 1.3, which is on; add TLS_AES_128_GCM_SHA256, or set maxVersion: Tls12",
    ),
    (
        "",
        "tls: {suites: [TLS_RSA_WITH_AES_128_CBC_SHA]}",
        "spec.tls.suites[0]: Unsupported value: \"TLS_RSA_WITH_AES_128_CBC_SHA\"",
    ),
    (
        "",
        "tls: {suites: [TLS_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]}",
        "spec.tls.suites[1]: Duplicate value",
    ),
    (
        "",
        "tls: {groups: [X25519MLKEM768]}",
        "groups has none of TLS 1.2, which is on; add x25519, or set minVersion: Tls13; it is X25519MLKEM768",
    ),
    ("", "tls: {groups: []}", "should have at least 1 items"),
    (
        "",
        "tls: {recordSizeMax: 511}",
        "should be greater than or equal to 512",
    ),
    (
        "",
        "tls: {alpn: {required: true}}",
        "protocols is empty, and one is required",
    ),
    (
        "",
        "tls: {alpn: {protocols: [{name: mqtt}, {name: mqtt}]}}",
        "spec.tls.alpn.protocols[1]: Duplicate value",
    ),
    (
        "",
        "tls: {alpn: {protocols: [{name: 'a b'}]}}",
        "must be the name of a protocol, such as mqtt: printable ASCII characters without spaces; it is a b",
    ),
    (
        "",
        "hosts: [{names: [a.example], tls: {alpn: {protocols: [{name: mqtt-tls-probe}]}}}]",
        "mqtt-tls-probe marks the operator's probes",
    ),
    (
        "",
        "tls: {alpn: {protocols: [{name: mqtt, backend: {}}]}}",
        "backend must have exactly one of service",
    ),
    (
        "",
        "tls: {alpn: {protocols: [{name: mqtt, backend: {address: {host: localhost}}}]}}",
        "backend.address.host is a loopback address",
    ),
    // The field. Newer versions of Kubernetes show the value between the quotes, older ones its type.
    (
        "",
        "timeouts: {handshake: 50ms}",
        "spec.timeouts.handshake: Invalid value: \"",
    ),
    (
        "",
        "timeouts: {handshake: 50ms}",
        "\": must be a duration from 100ms to 10m, such as 30s, 1m30s or 500ms; it is 50ms",
    ),
    (
        "",
        "timeouts: {firstPacket: 10m1s}",
        "must be a duration from 100ms to 10m, such as 30s, 1m30s or 500ms; it is 10m1s",
    ),
    (
        "",
        "timeouts: {dial: 1.5s}",
        "must be a duration from 100ms to 10m, such as 30s, 1m30s or 500ms; it is 1.5s",
    ),
    (
        "",
        "timeouts: {dial: soon}",
        "must be a duration from 100ms to 10m, such as 30s, 1m30s or 500ms; it is soon",
    ),
    (
        "",
        "timeouts: {halfClose: 61m}",
        "must be a duration from 100ms to 1h, such as 30s, 1m30s or 500ms; it is 61m",
    ),
    ("", "timeouts: {handshake: 10}", "must be of type string"),
    (
        "",
        "limits: {connections: 0}",
        "spec.limits.connections: Invalid value: 0: spec.limits.connections in body should be greater than or \
         equal to 1",
    ),
    (
        "",
        "limits: {connections: 10000001}",
        "should be less than or equal to 10000000",
    ),
    (
        "",
        "limits: {handshakes: 1000001}",
        "should be less than or equal to 1000000",
    ),
    (
        "",
        "tls: {tickets: Tls13}",
        "supported values: \"None\", \"Tls12\", \"All\"",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Pod, name: a}}",
        "supported values: \"Secret\", \"ConfigMap\"",
    ),
    (
        "backend",
        "backend: {}",
        "backend must have exactly one of service",
    ),
    (
        "backend",
        "backend: {service: {name: a}, address: {host: b}}",
        "backend must have exactly one of service",
    ),
    (
        "backend",
        "backend: {address: {host: 'broker:1883'}}",
        "backend.address.host must be a DNS name or an IP address",
    ),
    (
        "backend",
        "backend: {address: {host: 10.0.0.300}}",
        "backend.address.host must be a DNS name or an IP address",
    ),
    (
        "backend",
        "backend: {address: {host: 127.0.0.1}}",
        "backend.address.host is a loopback address",
    ),
    (
        "backend",
        "backend: {address: {host: '::'}}",
        "backend.address.host is a loopback address",
    ),
    (
        "backend",
        "backend: {address: {host: LocalHost.}}",
        "backend.address.host is a loopback address",
    ),
    (
        "backend",
        "backend: {service: {name: edge-mqtts}}",
        "backend.service is the listener's own Service",
    ),
    (
        "",
        "hosts: [{names: []}]",
        "spec.hosts[0].names in body should have at least 1 items",
    ),
    ("", "hosts: [{}]", "spec.hosts[0].names: Required value"),
    (
        "",
        "hosts: [{names: [a.example.com, 'b.example.com:8883']}]",
        "must be a DNS name in lower case, such as mqtt.example.com or *.example.com, without a port; it is \
         b.example.com:8883",
    ),
    (
        "",
        "hosts: [{names: ['*']}]",
        "must be a DNS name in lower case, such as mqtt.example.com or *.example.com, without a port; it is *",
    ),
    (
        "",
        "hosts: [{names: [192.0.2.1]}]",
        "without a port; it is 192.0.2.1",
    ),
    (
        "",
        "hosts: [{names: [a], certificates: [{secretRef: {name: b}}, {secretRef: {name: b}}]}]",
        "certificates lists the same Secret twice",
    ),
    (
        "",
        "hosts: [{names: [a], clientAuth: {mode: Require}}]",
        "clientAuth.mode Optional, Require and DryRun need clientAuth.caRef",
    ),
    (
        "",
        "hosts: [{names: [a], backend: {}}]",
        "backend must have exactly one of service",
    ),
    (
        "",
        "unknownNames: Drop",
        "supported values: \"Serve\", \"Refuse\"",
    ),
    (
        "",
        "sharedNames: Ignore",
        "supported values: \"Refuse\", \"Accept\"",
    ),
    (
        "",
        "protocol: mqtts",
        "supported values: \"mqtt\", \"websocket\", \"tcp\"",
    ),
    (
        "",
        "identity: {}",
        "identity gives devices no name: set userName or clientId",
    ),
    (
        "",
        "identity: {userName: {template: '{cn}'}}",
        "which clientAuth.mode None does not request; set clientAuth.mode to Require or Optional, or remove identity",
    ),
    (
        "",
        "identity: {mode: None, userName: {template: '{cn}'}}",
        "with identity.mode None devices keep their names",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}}\n  identity: {clientId: {template: ''}}",
        "spec.identity.clientId.template in body should be at least 1 chars long",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}}\n  identity: {clientId: {template: '{cn}', action: Require, mismatch: Overwrite}}",
        "action Require refuses a device that sends another name",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}}\n  identity: {userName: {template: '{cn}'}}\n  protocol: tcp",
        "identity writes names into the CONNECT of MQTT; set protocol: mqtt, or remove identity",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}}\n  hosts: [{names: [a], identity: {userName: {template: '{cn}'}}}]\n  protocol: websocket",
        "identity writes names into the CONNECT of MQTT",
    ),
    (
        "",
        "hosts: [{names: [a], clientAuth: {mode: None}, identity: {userName: {template: '{cn}'}}}]",
        "set clientAuth.mode to Require or Optional, or identity.mode: None",
    ),
    ("", "admin: {connections: 1}", "must be of type boolean"),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}, rules: [{field: cn}]}",
        "a rule needs one value: set one of exact, prefix and suffix",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}, rules: [{field: cn, exact: a, prefix: b}]}",
        "a rule needs one value: set one of exact, prefix and suffix",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}, rules: [{field: ou, exact: a}]}",
        "supported values: \"cn\", \"san.dns\", \"san.uri\", \"san.email\", \"san.ip\", \"spki\"",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}, revocation: {check: Leaf}}",
        "revocation has no list; add one to crlRefs or crlUrls, or remove it",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}, revocation: {crlUrls: [{url: 'ftp://pki.example/l'}]}}",
        "must begin with http:// or https://, without user name and password; it is ftp://pki.example/l",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}, revocation: {crlUrls: [{url: 'http://pki.example/l', refresh: 30s}]}}",
        "must be a duration from 1m to 24h",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}, revocation: {crlRefs: [{kind: ConfigMap, name: A_B}]}}",
        "must be the name of an object",
    ),
    (
        "",
        "hosts: [{names: [a], clientAuth: {mode: DryRun}}]",
        "clientAuth.mode Optional, Require and DryRun need clientAuth.caRef",
    ),
    (
        "",
        "limits: {recheckCloses: 0}",
        "should be greater than or equal to 1",
    ),
    ("", "replicas: -1", "should be greater than or equal to 0"),
    ("", "replicas: 101", "should be less than or equal to 100"),
    (
        "",
        "service: {nodePort: 30000}",
        "service.nodePort requires type NodePort or LoadBalancer",
    ),
    (
        "",
        "service: {externalTrafficPolicy: Local}",
        "service.externalTrafficPolicy requires type NodePort or LoadBalancer",
    ),
    (
        "",
        "service: {type: NodePort, loadBalancerClass: a}",
        "service.loadBalancerClass requires type LoadBalancer",
    ),
    (
        "",
        "service: {type: NodePort, loadBalancerSourceRanges: [10.0.0.0/8]}",
        "service.loadBalancerSourceRanges requires type LoadBalancer",
    ),
    (
        "",
        "service: {type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0]}",
        "must be a network in CIDR notation, such as 10.0.0.0/8; it is 10.0.0.0",
    ),
    (
        "",
        "service: {labels: {app.kubernetes.io/name: a}}",
        "choose another prefix for app.kubernetes.io/name",
    ),
    (
        "",
        "service: {labels: {a: b c}}",
        "start and end with a letter or digit; change a: b c",
    ),
    (
        "",
        "service: {annotations: {mqtt.smartboot.tech/a: b}}",
        "choose another prefix for mqtt.smartboot.tech/a",
    ),
    (
        "",
        "service: {annotations: {a b: c}}",
        "after an optional prefix and a slash; change a b",
    ),
    (
        "",
        "pod: {labels: {mqtt.smartboot.tech/a: b}}",
        "labels that start with app.kubernetes.io/ or mqtt.smartboot.tech/ are reserved",
    ),
    (
        "",
        "pod: {annotations: {mqtt.smartboot.tech/config-version: '1'}}",
        "annotations that start with mqtt.smartboot.tech/ are reserved",
    ),
    (
        "",
        "pod: {resources: {requests: {memory: 2Gi}, limits: {memory: 1024Mi}}}",
        "a request in pod.resources.requests exceeds its limit",
    ),
    (
        "",
        "pod: {resources: {limits: {memory: much}}}",
        "must be a quantity from 0, such as 500m, 1.5 or 64Mi; it is much",
    ),
];

const ACCEPTED: &[(&str, &str)] = &[
    (
        "certificates",
        "certificates: [{secretRef: {name: a}}, {secretRef: {namespace: b, name: a}, optional: true}]",
    ),
    (
        "certificates",
        "certificates: [{issuerRef: {name: ca, kind: ClusterIssuer}, dnsNames: ['*.a.example.com'], duration: 720h, renewBefore: 5m, privateKey: {algorithm: RSA}, usages: [server auth]}]",
    ),
    ("", "port: 1"),
    ("", "host: '::'"),
    ("", "host: 0.0.0.0"),
    ("", "host: 192.0.2.1"),
    ("", "host: 'fd00::1'"),
    ("", "trial: {}"),
    ("", "trial: {strategy: Immediate}"),
    (
        "",
        "trial: {strategy: Gradual, steps: [1, 2, 3, 4, 5, 6, 7, 100], minHandshakes: 10, minStep: 1s, maxStep: 1s, remember: 1m}",
    ),
    (
        "",
        "trial: {steps: [1, 100], minHandshakes: 1000000, minStep: 168h, maxStep: 720h, remember: 168h}",
    ),
    ("", "clientAuth: {mode: None}"),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a, key: b.pem}}",
    ),
    (
        "backend",
        "backend: {address: {host: 'fd00::1', port: 1884}}",
    ),
    ("backend", "backend: {address: {host: broker.example.com.}}"),
    ("", "tls: {tickets: All}"),
    (
        "",
        "tls: {minVersion: Tls13, suites: [TLS_AES_256_GCM_SHA384], groups: [X25519MLKEM768], recordSizeMax: 16384}",
    ),
    (
        "",
        "tls: {maxVersion: Tls12, suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256], groups: [secp384r1]}",
    ),
    (
        "",
        "tls: {alpn: {required: true, protocols: [{name: mqtt}, {name: a, backend: {service: {name: b}}}]}}",
    ),
    (
        "",
        "hosts: [{names: [a.example], tls: {alpn: {protocols: [{name: mqtt, backend: {address: {host: b}}}]}}}]",
    ),
    (
        "",
        "timeouts: {handshake: 100ms, firstPacket: 10m, dial: 1s500ms, halfClose: 1h}",
    ),
    ("", "timeouts: {handshake: 1m30s}"),
    ("", "protocol: websocket"),
    (
        "",
        "clientAuth: {mode: DryRun, caRefs: [{kind: Secret, name: a}, {kind: ConfigMap, name: b, key: c}], acceptServerPurpose: true}",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}, rules: [{field: spki, exact: ab}, {field: san.ip, prefix: 10.0.0.0/8}, {field: san.email, suffix: '@a.example'}]}",
    ),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}, revocation: {crlRefs: [{kind: Secret, name: b}], crlUrls: [{url: 'https://a.example/l', caRef: {kind: Secret, name: c}, refresh: 24h}], whenOutdated: Refuse}}",
    ),
    (
        "",
        "protocol: mqtt\n  admin: {connections: true}\n  sharedNames: Accept",
    ),
    ("", "identity: {mode: None}"),
    (
        "",
        "clientAuth: {mode: Require, caRef: {kind: Secret, name: a}}\n  identity: {userName: {template: 'a-{san.uri}', mismatch: Overwrite}, clientId: {template: '{spki}', action: Require}}",
    ),
    (
        "",
        "hosts: [{names: [a], clientAuth: {mode: Optional, caRef: {kind: Secret, name: a}}, identity: {clientId: {template: '{cn}'}, withoutCertificate: {clientIdPrefix: 'guest-'}}}]",
    ),
    ("", "timeouts: {}"),
    ("", "limits: {connections: 10000000, handshakes: 1000000}"),
    ("", "replicas: 0"),
    (
        "",
        "service: {type: NodePort, nodePort: 30000, externalTrafficPolicy: Local}",
    ),
    (
        "",
        "service: {type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0/8, 'fd00::/8']}",
    ),
    (
        "",
        "pod: {resources: {requests: {cpu: 1, memory: 64Mi}, limits: {cpu: 1500m}}}",
    ),
    (
        "",
        "pod: {labels: {example.com/team: iot}, annotations: {example.com/a: anything at all}}",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_has_its_message() {
    let server = installed().await;
    let namespace = server.namespace("refused").await;
    let dry = ["create", "--dry-run=server", "-n", &namespace, "-f", "-"];
    let mut wrong = Vec::new();
    for (replaced, by, message) in REFUSED {
        let output = server.kubectl_with_input(&dry, &manifest(NAME, replaced, by));
        if output.status.success() || !output.stderr.contains(message) {
            wrong.push(format!(
                "{by}\n  wanted: {message}\n  got: {}",
                output.stderr
            ));
        }
    }
    for name in ["9edge", "edge.iot", &"a".repeat(58)] {
        let output = server.kubectl_with_input(&dry, &manifest(name, "", ""));
        if output.status.success() || !output.stderr.contains("the Service is called NAME-mqtts") {
            wrong.push(format!("{name}: {}", output.stderr));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // As GitOps tools and `kubectl apply --server-side` write it.
    let apply = [
        "apply",
        "--server-side",
        "--dry-run=server",
        "-n",
        &namespace,
        "-f",
        "-",
    ];
    let output = server.kubectl_with_input(&apply, &manifest(NAME, "", "clientAuth:"));
    assert!(!output.status.success(), "{}", output.stdout);
    assert!(
        output.stderr.contains("clientAuth must not be empty"),
        "{}",
        output.stderr
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn valid_specs_are_accepted() {
    let server = installed().await;
    let namespace = server.namespace("accepted").await;
    let dry = [
        "create",
        "--dry-run=server",
        "--validate=strict",
        "-n",
        &namespace,
        "-f",
        "-",
    ];
    for (replaced, by) in ACCEPTED {
        server
            .kubectl_with_input(&dry, &manifest(NAME, replaced, by))
            .expect_success();
    }
    let longest = "a".repeat(57);
    server
        .kubectl_with_input(&dry, &manifest(&longest, "", ""))
        .expect_success();
}

/// `standalone` accepts and rejects the same `data` of a Secret as the API server: base64 over several lines, as the
/// program `base64` wraps it, with padding and without blanks.
#[tokio::test(flavor = "multi_thread")]
async fn base64_may_span_several_lines() {
    let server = installed().await;
    let namespace = server.namespace("base64").await;
    let create = ["create", "--dry-run=server", "-n", &namespace, "-f", "-"];
    let create = [&create[..], &["-o", "jsonpath={.data.pem}"]].concat();
    let create_with = |data: &str| {
        let secret = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: wrapped}}\ndata: {{pem: \"{data}\"}}\n"
        );
        server.kubectl_with_input(&create, &secret)
    };
    for good in [
        "aGVsbG8=",
        "aGVs\\nbG8=\\n",
        "aGVs\\r\\nbG8=\\r\\n\\r\\n",
        "\\naGVsbG8\\n=",
        "aGVsbG9=",
    ] {
        assert_eq!(
            create_with(good).expect_success().stdout,
            "aGVsbG8=",
            "{good}"
        );
    }
    for bad in [
        "aGVsbG8",
        "aGVsbG8=x",
        "aGVs bG8=",
        "aGVs\\tbG8=",
        "aGVsbG8_",
    ] {
        let output = create_with(bad);
        assert!(!output.status.success(), "{bad}: {}", output.stdout);
        assert!(
            output.stderr.contains("illegal base64"),
            "{bad}: {}",
            output.stderr
        );
    }
}
