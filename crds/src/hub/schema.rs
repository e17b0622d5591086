//! Small types whose schema is not what a derive would make: amounts, open objects, references.

use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{borrow::Cow, collections::BTreeMap, fmt};

/// What Kubernetes takes as a quantity, without a sign.
const QUANTITY_PATTERN: &str = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][-+]?[0-9]+)?$";

/// A Kubernetes quantity, written as a number or a string: `2`, `"0.5"`, `500m`, `1Gi`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub IntOrString);

impl Amount {
    /// An amount from its text, such as `1Gi`.
    pub fn new(text: &str) -> Self {
        Self(IntOrString::String(text.to_owned()))
    }

    pub fn to_quantity(&self) -> Quantity {
        Quantity(self.to_string())
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            IntOrString::Int(number) => write!(f, "{number}"),
            IntOrString::String(text) => f.write_str(text),
        }
    }
}

impl JsonSchema for Amount {
    fn schema_name() -> Cow<'static, str> {
        "Amount".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": QUANTITY_PATTERN,
            "minimum": 0,
            "maxLength": 32,
        })
    }
}

/// CEL rules with their messages, for `#[schemars(transform = rules(..))]`. (kube's own derive for them does not take
/// types with serde defaults.)
pub(super) fn rules(rules: &'static [(&str, &str)]) -> impl FnMut(&mut Schema) {
    move |schema| {
        let rules: Vec<Value> = rules.iter().map(|(rule, message)| json!({"rule": rule, "message": message})).collect();
        schema.insert("x-kubernetes-validations".to_owned(), rules.into());
    }
}

/// Names of resources with their amounts, such as `nvidia.com/gpu: 1`.
pub type Amounts = BTreeMap<String, Amount>;

/// A key of a Secret in the Hub's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules(&[
    ("size(self.name) > 0 && size(self.key) > 0", "name and key of a Secret must not be empty: remove the whole reference if none is meant (S48)"),
]))]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Key in its data.
    #[schemars(length(max = 253), regex(pattern = r"^[-._a-zA-Z0-9]*$"))]
    pub key: String,
}

/// An object of Kubernetes' own API that the operator checks itself, with the field's full path in its message.
pub fn open_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A list of [`open_object`]s.
pub fn open_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}

/// Labels or annotations; ours cannot be replaced.
pub fn string_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 4096 },
    })
}

/// Short texts, such as user names: at most 1000 of at most 255 characters each, none twice.
pub fn name_set(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 1000,
        "items": { "type": "string", "minLength": 1, "maxLength": 255 },
        "x-kubernetes-list-type": "set",
    })
}

/// One program's arguments.
pub fn arguments(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": 64, "items": { "type": "string", "maxLength": 4096 } })
}

/// Environment variables by name. The names that the protocol needs cannot be replaced.
pub fn environment(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<k8s_openapi::api::core::v1::EnvVar>();
    json_schema!({
        "type": "array",
        "maxItems": 128,
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "x-kubernetes-validations": [{
            "rule": "self.all(e, !e.name.startsWith('JUPYTERHUB_') && e.name != 'JPY_API_TOKEN' && e.name != 'CONFIGPROXY_AUTH_TOKEN')",
            "message": "extraEnv must not set JUPYTERHUB_*, JPY_API_TOKEN or CONFIGPROXY_AUTH_TOKEN: the operator and the hub set them",
        }],
    })
}

/// A request and a limit of a profile. The operator holds them against each other, with what they are put over: a rule here would
/// be counted once for each choice that there may be, which the API server finds too much.
pub fn bounds(generator: &mut SchemaGenerator) -> Schema {
    let mut amount = |description: &str| {
        let mut amount = generator.subschema_for::<Amount>();
        amount.insert("description".to_owned(), description.into());
        amount
    };
    json_schema!({
        "type": "object",
        "properties": {
            "guarantee": amount("What a server is sure to get."),
            "limit": amount("What it may not exceed."),
        },
    })
}

/// Environment variables of a profile, by name; where a value comes from is open, since the definition has it many times.
/// The hub's own are put over them.
pub fn variables(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": { "type": "string", "minLength": 1, "maxLength": 253, "description": "Name of the variable." },
                "value": { "type": "string", "maxLength": 32768, "description": "Its value." },
                "valueFrom": {
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                    "description": "A Kubernetes `EnvVarSource`.",
                },
            },
        },
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    })
}

/// A list of open objects or a single one, as they are stored.
pub type Open = Value;
