//! What the schema does not say: good, missing and bad values of a field, what a field needs beside it, and which mutations
//! ask for an interruption. All of it in tables. It must not be needed for a field to be covered.

use serde_json::{Value, json};

use crate::schema::Path;

/// More values of the fields whose path ends so; the first is valid.
const VALUES: &[(&str, &[&str])] = &[
    (
        "backend.service.name",
        &[r#""broker""#, r#""missing""#, r#""edge-mqtts""#],
    ),
    ("backend.service.port", &["1883", "1884"]),
    (
        "backend.address.host",
        &[
            r#""broker.example.com""#,
            r#""missing.example.com""#,
            r#""192.0.2.7""#,
            r#""2001:db8::7""#,
            r#""localhost""#,
            r#""127.0.0.1""#,
            r#""0.0.0.0""#,
            r#""broker.example.com:1883""#,
            r#""mqtt://broker""#,
            r#""1.2.3""#,
        ],
    ),
    (
        "certificates",
        &[
            r#"[{"secretRef": {"name": "other-tls"}}, {"secretRef": {"name": "edge-tls"}}]"#,
            r#"[{"secretRef": {"name": "edge-tls"}}, {"secretRef": {"name": "missing"}}]"#,
            r#"[{"secretRef": {"name": "edge-tls"}}, {"secretRef": {"name": "bad-tls"}}]"#,
        ],
    ),
    (
        "certificates[]",
        &[r#"{"secretRef": {"name": "edge-tls"}}"#],
    ),
    ("dnsNames[]", &[r#""issued.example.com""#, r#""Issued""#]),
    ("ipAddresses[]", &[r#""192.0.2.1""#, r#""192.0.2.300""#]),
    (
        "certificates[].secretRef.name",
        &[
            r#""edge-tls""#,
            r#""other-tls""#,
            r#""missing""#,
            r#""bad-tls""#,
            r#""empty-tls""#,
        ],
    ),
    (
        "clientAuth.caRef.name",
        &[r#""device-ca""#, r#""missing""#, r#""bad-ca""#],
    ),
    (
        "clientAuth.caRef.key",
        &[r#""ca.crt""#, r#""other.crt""#, r#""a/b""#],
    ),
    (
        "caRefs[].name",
        &[r#""device-ca""#, r#""missing""#, r#""bad-ca""#],
    ),
    (
        "crlRefs[].name",
        &[r#""device-crl""#, r#""missing""#, r#""bad-ca""#],
    ),
    ("crlRefs[].key", &[r#""ca.crl""#, r#""other.crl""#]),
    (
        "crlUrls[].url",
        &[
            r#""http://127.0.0.1:1/list""#,
            r#""https://pki.example.com/list""#,
            r#""ftp://pki.example.com/list""#,
            r#""http://user:word@pki.example.com/list""#,
        ],
    ),
    (
        "rules",
        &[
            r#"[{"field": "cn", "exact": "a"}]"#,
            r#"[{"field": "san.dns", "suffix": "a"}]"#,
            r#"[{"field": "spki", "exact": "a"}]"#,
        ],
    ),
    (
        "host",
        &[
            r#""0.0.0.0""#,
            r#""::""#,
            r#""192.0.2.1""#,
            r#""2001:db8::1""#,
            r#""224.0.0.1""#,
            r#""ff02::1""#,
            r#""255.255.255.255""#,
            r#""0.1.2.3""#,
            r#""127.0.0.1""#,
            r#""::1""#,
            r#""example.com""#,
            r#""10.0.0.0/8""#,
        ],
    ),
    (
        "hosts",
        &[
            r#"[{"names": ["tenant.example.com"], "certificates": [{"secretRef": {"name": "other-tls"}}]}]"#,
            r#"[{"names": ["tenant.example.com"], "certificates": [{"secretRef": {"name": "missing"}}]}]"#,
            r#"[{"names": ["tenant.example.com"]}, {"names": ["other.example.com", "tenant.example.com"]}]"#,
        ],
    ),
    (
        "hosts[].names",
        &[
            r#"["tenant.example.com"]"#,
            r#"["tenant.example.com", "tenant.example.com"]"#,
            r#"["*.tenant.example.com", "tenant.example.com"]"#,
        ],
    ),
    (
        "hosts[].names[]",
        &[
            r#""tenant.example.com""#,
            r#""*.tenant.example.com""#,
            r#""Tenant.example.com""#,
            r#""tenant.example.com.""#,
            r#""tenant.example.com:8883""#,
            r#""192.0.2.1""#,
        ],
    ),
    (
        "hosts[].clientAuth",
        &[
            r#"{"mode": "Optional", "caRef": {"kind": "ConfigMap", "name": "device-ca"}}"#,
            r#"{"mode": "Require", "caRef": {"kind": "ConfigMap", "name": "missing"}}"#,
        ],
    ),
    (
        "template",
        &[r#""{cn}""#, r#""{cn""#, r#""{name}""#, r#""same""#],
    ),
    ("replicas", &["2", "3", "1"]),
    (
        "loadBalancerClass",
        &[r#""example.com/lb""#, r#""internal""#],
    ),
    (
        "loadBalancerSourceRanges[]",
        &[
            r#""10.0.0.0/8""#,
            r#""10.0.0.1/8""#,
            r#""10.0.0.0/33""#,
            r#""fd00::/8""#,
        ],
    ),
    ("nodePort", &["30883", "8883"]),
    (
        "priorityClassName",
        &[r#""system-cluster-critical""#, r#""missing""#],
    ),
    ("imagePullSecrets[].name", &[r#""pull""#]),
    (
        "nodeSelector",
        &[r#"{"kubernetes.io/os": "linux"}"#, r#"{"zone": "nowhere"}"#],
    ),
    (
        "resources.limits",
        &[
            r#"{"memory": "1Gi"}"#,
            r#"{"memory": 1073741824}"#,
            r#"{"cpu": "1.5.2"}"#,
            r#"{"cpu": -1}"#,
            r#"{"gpu": "1"}"#,
            r#"{"example.com/gpu": "1"}"#,
            r#"{"cpu": "0.00001"}"#,
            r#"{"memory": "1e30"}"#,
        ],
    ),
    (
        "resources.requests",
        &[
            r#"{"cpu": "50m"}"#,
            r#"{"cpu": 1}"#,
            r#"{"memory": "100Ti"}"#,
            r#"{"cpu": "x"}"#,
            r#"{"cpu": -1}"#,
            r#"{"gpu": "1"}"#,
            r#"{"example.com/gpu": "1"}"#,
            r#"{"example.com/gpu": "0.5"}"#,
        ],
    ),
    ("tolerations[]", &[r#"{"operator": "Exists"}"#]),
    (
        "tolerations[].operator",
        &[r#""Exists""#, r#""Equal""#, r#""Gt""#],
    ),
    (
        "tolerations[].effect",
        &[r#""NoSchedule""#, r#""NoExecute""#, r#""Never""#],
    ),
    (
        "labelSelector.matchExpressions[].operator",
        &[r#""Exists""#, r#""In""#, r#""Gt""#],
    ),
    (
        "namespaceSelector.matchExpressions[].operator",
        &[r#""Exists""#, r#""In""#, r#""Gt""#],
    ),
    (
        "operator",
        &[r#""Exists""#, r#""In""#, r#""Gt""#, r#""DoesNotExist""#],
    ),
    (
        "topologyKey",
        &[
            r#""kubernetes.io/hostname""#,
            r#""topology.kubernetes.io/zone""#,
        ],
    ),
    ("matchExpressions[].key", &[r#""kubernetes.io/os""#]),
    ("matchFields[].key", &[r#""metadata.name""#]),
    (
        "whenUnsatisfiable",
        &[r#""ScheduleAnyway""#, r#""DoNotSchedule""#, r#""Never""#],
    ),
    (
        "nodeAffinityPolicy",
        &[r#""Honor""#, r#""Ignore""#, r#""Never""#],
    ),
    (
        "nodeTaintsPolicy",
        &[r#""Honor""#, r#""Ignore""#, r#""Never""#],
    ),
    ("weight", &["1", "100", "101"]),
    ("maxSkew", &["1", "2"]),
];

/// A certificate of an issuer, which never comes: what is served stays.
const ISSUED: &str = r#"{"certificates": [
    {"issuerRef": {"name": "ca"}, "dnsNames": ["issued.example.com"]}, {"secretRef": {"name": "edge-tls"}}
]}"#;

/// What a field needs beside it, as a patch of the spec, by the beginning and the end of its path.
const COMPANIONS: &[(&str, &str, &str)] = &[
    ("backend.address", "", r#"{"backend": {"service": null}}"#),
    ("certificates[].dnsNames", "", ISSUED),
    ("certificates[].duration", "", ISSUED),
    ("certificates[].ipAddresses", "", ISSUED),
    ("certificates[].issuerRef", "", ISSUED),
    ("certificates[].privateKey", "", ISSUED),
    ("certificates[].renewBefore", "", ISSUED),
    ("certificates[].usages", "", ISSUED),
    (
        "clientAuth.caRef",
        "",
        r#"{"clientAuth": {"mode": "Optional"}}"#,
    ),
    (
        "clientAuth.acceptServerPurpose",
        "",
        r#"{"clientAuth": {"mode": "Optional", "caRef": {"kind": "ConfigMap", "name": "device-ca"}}}"#,
    ),
    (
        "clientAuth.rules",
        "",
        r#"{"clientAuth": {
            "mode": "Optional", "caRef": {"kind": "ConfigMap", "name": "device-ca"},
            "rules": [{"field": "cn", "exact": "a"}]
        }}"#,
    ),
    (
        "clientAuth.revocation",
        "",
        r#"{"clientAuth": {
            "mode": "Optional", "caRef": {"kind": "ConfigMap", "name": "device-ca"},
            "revocation": {
                "crlRefs": [{"kind": "ConfigMap", "name": "device-crl"}],
                "crlUrls": [{"url": "http://127.0.0.1:1/list"}]
            }
        }}"#,
    ),
    (
        "clientAuth.mode",
        "",
        r#"{"clientAuth": {"caRef": {"kind": "ConfigMap", "name": "device-ca"}}}"#,
    ),
    (
        "identity",
        "",
        r#"{
            "clientAuth": {"mode": "Optional", "caRef": {"kind": "ConfigMap", "name": "device-ca"}},
            "identity": {
                "userName": {"template": "{cn}"}, "clientId": {"template": "{cn}"},
                "withoutCertificate": {"userName": "guest", "clientIdPrefix": "guest-"}
            }
        }"#,
    ),
    (
        "hosts[].identity",
        "",
        r#"{
            "clientAuth": {"mode": "Optional", "caRef": {"kind": "ConfigMap", "name": "device-ca"}},
            "sharedNames": "Accept",
            "hosts": [{"names": ["tenant.example.com"], "identity": {
                "userName": {"template": "{cn}"}, "clientId": {"template": "{cn}"},
                "withoutCertificate": {"userName": "guest", "clientIdPrefix": "guest-"}
            }}]
        }"#,
    ),
    (
        "service.nodePort",
        "",
        r#"{"service": {"type": "NodePort"}}"#,
    ),
    (
        "service.externalTrafficPolicy",
        "",
        r#"{"service": {"type": "NodePort"}}"#,
    ),
    (
        "service.loadBalancer",
        "",
        r#"{"service": {"type": "LoadBalancer"}}"#,
    ),
    (
        "pod.tolerations",
        "tolerationSeconds",
        r#"{"pod": {"tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute"}]}}"#,
    ),
    (
        "pod.topologySpreadConstraints",
        "minDomains",
        r#"{"pod": {"topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}
        ]}}"#,
    ),
];

/// Mutations that ask for an interruption, by the beginning of their name, and what they ask for.
const INTERRUPTIONS: &[(&str, &str)] = &[
    ("replicas/least", "no pod, so no connection"),
    ("limits.connections/least", "one connection for each pod"),
    (
        "limits.handshakes/least",
        "one connection without a CONNECT for each pod",
    ),
    (
        "timeouts.handshake/least",
        "handshakes within 100 ms, which this machine cannot promise",
    ),
    (
        "timeouts.firstPacket/least",
        "a CONNECT within 100 ms, which this machine cannot promise",
    ),
    (
        "timeouts.dial/least",
        "a broker's answer within 100 ms, which this machine cannot promise",
    ),
    ("clientAuth.mode/Require", "only devices with a certificate"),
    (
        "identity.withoutCertificate/absent",
        "only devices with a certificate",
    ),
    (
        "identity.withoutCertificate/null",
        "only devices with a certificate",
    ),
];

/// The end of the names of mutations after which the address of the broker is another one, which has no broker.
const BACKENDS: &[&str] = &["backend.address"];

/// Returns more values of a field.
pub(crate) fn values(path: &Path) -> Vec<Value> {
    let path = format!(".{path}");
    let found = VALUES.iter().find(|(end, _)| {
        let end = format!(".{end}");
        path.ends_with(&end)
    });
    let texts = found.map(|(_, texts)| *texts).unwrap_or_default();
    let values = texts.iter().map(|text| serde_json::from_str(text).unwrap());
    values.collect()
}

/// Returns the spec that a mutation of this field starts from.
pub(crate) fn base(spec: &Value, path: &Path) -> Value {
    let (path, mut spec) = (path.to_string(), spec.clone());
    for (begin, end, patch) in COMPANIONS {
        if path.starts_with(begin) && path.ends_with(end) {
            merge(&mut spec, &serde_json::from_str(patch).unwrap());
        }
    }
    spec
}

/// Returns what a mutation asks for instead of service without an interruption.
pub(crate) fn interruption(name: &str) -> Option<&'static str> {
    let named = INTERRUPTIONS
        .iter()
        .find(|(begin, _)| name.starts_with(begin));
    let is_backend = BACKENDS.iter().any(|begin| name.starts_with(begin));
    let named = named.map(|(_, why)| *why);
    named.or(is_backend.then_some("another broker, which may be none"))
}

/// Merges as RFC 7386 says.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let target = target.as_object_mut().unwrap();
    for (name, part) in fields {
        if part.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.as_str()).or_insert(Value::Null), part);
        }
    }
}
