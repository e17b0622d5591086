//! A Hub from the values of zero-to-jupyterhub, and what became of every key of them.
//!
//! ```text
//! values -> Draft (each room below takes its keys, and puts fields) -> HubSpec -> manifest
//!                 `-> Report: a verdict for every key; a key that no room took is not one of the chart's
//! ```

mod config;
mod core;
mod database;
mod draft;
mod entrance;
mod idle;
mod oidc;
mod profiles;
mod report;
mod servers;
mod surroundings;
mod written;

pub use report::{Report, Verdict};

use hub_crds::{
    Hub, HubSpec,
    names::{child, label, label_value, port},
};
use kube::Resource;
use serde_json::{Map, Value, json};

use draft::Draft;

/// What the values do not say.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the Hub that is to be.
    pub name: String,
    /// Its namespace, which is that of the chart.
    pub namespace: Option<String>,
    /// Name of the release, by which the chart names its objects if its values tell it to.
    pub release: String,
}

/// A Hub, and what became of the values.
#[derive(Debug, Clone)]
pub struct Migration {
    /// YAML for `kubectl apply`: the Hub, and the Service that servers started by JupyterHub ask.
    pub manifest: String,
    pub report: Report,
}

/// Why there is no Hub.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("failed to read the values: {0}")]
    Parse(#[from] serde_yaml::Error),
    #[error("failed to read the values: they must be keys with values, as in a values.yaml")]
    NoKeys,
    #[error("failed to make a Hub of the values: {0}")]
    Spec(#[from] serde_json::Error),
}

/// Where the chart's objects are.
struct Place {
    /// The Hub's name.
    name: String,
    /// What the chart calls its hub: Deployment, Service and Secret.
    hub: String,
    /// The Secret with the chart's secrets.
    secret: String,
}

/// Makes a Hub of values in YAML.
///
/// # Errors
/// They are no values at all.
pub fn migrate(values: &str, options: &Options) -> Result<Migration, MigrateError> {
    let values: Value = serde_yaml::from_str(values)?;
    let values = without_surroundings(&values);
    if !values.is_object() {
        return Err(MigrateError::NoKeys);
    }
    let hub = format!("{}hub", core::prefix(values, &options.release));
    let secret = draft::at(values, "hub.existingSecret").and_then(Value::as_str).filter(|name| !name.is_empty());
    let place = Place { name: options.name.clone(), secret: secret.unwrap_or(&hub).to_owned(), hub };
    let mut draft = Draft::new(values);
    entrance::read(&mut draft, &place);
    servers::read(&mut draft);
    surroundings::read(&mut draft);
    core::read(&mut draft, &place);
    database::read(&mut draft, &place);
    config::read(&mut draft, &place);
    idle::read(&mut draft);
    let (spec, said, report) = draft.finish()?;
    Ok(Migration { manifest: manifest(&spec, &said, options, &place)?, report })
}

/// A chart that contains this one has its values below a key.
fn without_surroundings(values: &Value) -> &Value {
    let is_chart = ["hub", "proxy", "singleuser"].iter().any(|key| values.get(key).is_some());
    values.get("jupyterhub").filter(|inner| !is_chart && inner.is_object()).unwrap_or(values)
}

fn manifest(spec: &HubSpec, said: &Value, options: &Options, place: &Place) -> Result<String, MigrateError> {
    let mut metadata = json!({"name": options.name});
    if let Some(namespace) = &options.namespace {
        metadata["namespace"] = namespace.as_str().into();
    }
    let hub = json!({
        "apiVersion": Hub::api_version(&()),
        "kind": Hub::kind(&()),
        "metadata": metadata,
        "spec": only(&serde_json::to_value(spec)?, said),
    });
    let mut manifest = serde_yaml::to_string(&hub)?;
    if child::hub(&options.name) != place.hub {
        metadata["name"] = place.hub.as_str().into();
        let service = json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "ports": [{"name": port::HUB_NAME, "port": port::HUB, "targetPort": port::HUB}],
                "selector": {label::HUB: options.name, label::COMPONENT: label_value::HUB},
            },
        });
        manifest += &format!(
            "---\n# For servers that JupyterHub started: they ask http://{}:{}. Delete it when the last of them has stopped.\n{}",
            place.hub,
            port::HUB,
            serde_yaml::to_string(&service)?
        );
    }
    Ok(manifest)
}

/// Of a whole spec what was said, as the types write it.
fn only(whole: &Value, said: &Value) -> Value {
    let (Value::Object(whole), Value::Object(said)) = (whole, said) else { return whole.clone() };
    let fields = said.iter().filter_map(|(name, said)| Some((name.clone(), only(whole.get(name)?, said))));
    Value::Object(fields.collect::<Map<_, _>>())
}
