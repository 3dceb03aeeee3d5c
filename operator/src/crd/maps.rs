//! Schemas of small values that several parts of the resource share: ports, names, labels.
//!
//! They are written by hand where the derived schema would lack a limit or have a format that Kubernetes does
//! not know. It must not be used for a value that has its own type.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Maximum number of labels or annotations in a map.
const ENTRIES_MAX: u32 = 32;

/// Maximum length of an object's name and of a key of its data, in characters.
const NAME_LENGTH_MAX: u32 = 253;

/// A switch, without a default, which the API server would write into each listener.
pub(super) fn switch(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "boolean"})
}

/// A TCP port.
pub(super) fn port(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535})
}

/// A node port, in the widest range that a cluster may allow.
pub(super) fn node_port(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "integer", "format": "int32", "minimum": 1, "maximum": 65535, "nullable": true
    })
}

/// The name of a Secret or ConfigMap.
pub(super) fn object_name(_: &mut SchemaGenerator) -> Schema {
    text(
        NAME_LENGTH_MAX,
        "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
        "must be the name of an object: a-z, 0-9, - and ., first and last a letter or digit",
    )
}

/// A namespace.
pub(super) fn namespace(_: &mut SchemaGenerator) -> Schema {
    text(
        63,
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        "must be a namespace: a-z, 0-9 and -, first and last a letter or digit",
    )
}

/// The name of a Service.
pub(super) fn service_name(_: &mut SchemaGenerator) -> Schema {
    text(
        63,
        "^[a-z]([-a-z0-9]*[a-z0-9])?$",
        "must be the name of a Service in the same namespace: a-z, 0-9 and -, first a letter, last a letter or digit",
    )
}

/// Networks from which a load balancer accepts connections.
pub(super) fn networks(_: &mut SchemaGenerator) -> Schema {
    let explanation = "must be a network in CIDR notation, such as 10.0.0.0/8";
    json_schema!({
        "type": "array",
        "nullable": true,
        "maxItems": 64,
        "items": {
            "type": "string",
            "maxLength": 49,
            "x-kubernetes-validations": [{
                "rule": "isCIDR(self)",
                "message": explanation,
                "messageExpression": format!("'{explanation}; it is ' + self"),
            }],
        },
    })
}

/// A key of a Secret's or ConfigMap's data.
pub(super) fn data_key(_: &mut SchemaGenerator) -> Schema {
    text(
        NAME_LENGTH_MAX,
        "^[-._a-zA-Z0-9]+$",
        "must be a key of the object: letters, digits, -, _ and .",
    )
}

/// A text with a form, which a rule explains: a pattern would be shown as it is. The value is quoted by the rule, because
/// older versions of Kubernetes quote none.
pub(super) fn text(length_max: u32, pattern: &str, explanation: &str) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": length_max,
        "x-kubernetes-validations": [{
            "rule": format!("self.matches('{pattern}')"),
            "message": explanation,
            "messageExpression": format!("'{explanation}; it is ' + self"),
        }],
    })
}

/// Labels that users add.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": ENTRIES_MAX,
        "additionalProperties": {"type": "string", "maxLength": 63},
        "x-kubernetes-validations": [
            {
                "rule": "self.all(key, !key.startsWith('app.kubernetes.io/') && \
                         !key.startsWith('mqtt.smartboot.tech/'))",
                "message": "labels that start with app.kubernetes.io/ or mqtt.smartboot.tech/ are reserved \
                            for the operator; choose another prefix",
                "messageExpression": "'labels that start with app.kubernetes.io/ or mqtt.smartboot.tech/ are \
                                      reserved for the operator; choose another prefix for ' + \
                                      self.filter(key, key.startsWith('app.kubernetes.io/') || \
                                      key.startsWith('mqtt.smartboot.tech/'))[0]",
            },
            {
                "rule": "self.all(key, !format.qualifiedName().validate(key).hasValue() && \
                         !format.labelValue().validate(self[key]).hasValue())",
                "message": "a label's name and value must have at most 63 letters, digits, -, _ and ., and \
                            start and end with a letter or digit",
                "messageExpression": "'a label\\'s name and value must have at most 63 letters, digits, -, _ and ., \
                                      and start and end with a letter or digit; change ' + \
                                      self.filter(key, format.qualifiedName().validate(key).hasValue() || \
                                      format.labelValue().validate(self[key]).hasValue())\
                                      .map(key, key + ': ' + self[key])[0]",
            },
        ],
    })
}

/// Annotations that users add.
pub(super) fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": ENTRIES_MAX,
        "additionalProperties": {"type": "string", "maxLength": 4096},
        "x-kubernetes-validations": [
            {
                "rule": "self.all(key, !key.startsWith('mqtt.smartboot.tech/'))",
                "message": "annotations that start with mqtt.smartboot.tech/ are reserved for the operator; \
                            choose another prefix",
                "messageExpression": "'annotations that start with mqtt.smartboot.tech/ are reserved for the \
                                      operator; choose another prefix for ' + \
                                      self.filter(key, key.startsWith('mqtt.smartboot.tech/'))[0]",
            },
            {
                "rule": "self.all(key, !format.qualifiedName().validate(key).hasValue())",
                "message": "an annotation's name must have at most 63 letters, digits, -, _ and ., after an \
                            optional prefix and a slash",
                "messageExpression": "'an annotation\\'s name must have at most 63 letters, digits, -, _ and ., \
                                      after an optional prefix and a slash; change ' + \
                                      self.filter(key, format.qualifiedName().validate(key).hasValue())[0]",
            },
        ],
    })
}

/// Quantities of CPU and memory, by resource name.
pub(super) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 32,
            "x-kubernetes-validations": [{
                "rule": "isQuantity(string(self)) && !string(self).startsWith('-')",
                "message": "must be a quantity from 0, such as 500m, 1.5 or 64Mi",
                "messageExpression": "'must be a quantity from 0, such as 500m, 1.5 or 64Mi; it is ' + string(self)",
            }],
        },
    })
}
