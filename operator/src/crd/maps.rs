//! Schemas of small values that several parts of the resource share: ports, names, labels.
//!
//! They are written by hand where the derived schema would lack a limit or have a format that Kubernetes does
//! not know. It must not be used for a value that has its own type.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Maximum number of labels or annotations in a map.
const ENTRIES_MAX: u32 = 32;

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
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$",
    })
}

/// The name of a Service.
pub(super) fn service_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 63,
        "pattern": "^[a-z]([-a-z0-9]*[a-z0-9])?$",
    })
}

/// A key of a Secret's or ConfigMap's data.
pub(super) fn data_key(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 253,
        "pattern": "^[-._a-zA-Z0-9]+$",
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
            },
            {
                "rule": "self.all(key, !format.qualifiedName().validate(key).hasValue() && \
                         !format.labelValue().validate(self[key]).hasValue())",
                "message": "a label's name and value must have at most 63 letters, digits, -, _ and ., and \
                            start and end with a letter or digit",
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
            },
            {
                "rule": "self.all(key, !format.qualifiedName().validate(key).hasValue())",
                "message": "an annotation's name must have at most 63 letters, digits, -, _ and ., after an \
                            optional prefix and a slash",
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
            "pattern": "^([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$",
        },
    })
}
