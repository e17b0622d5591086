//! The CustomResourceDefinition as it is installed: what kube derives, made fit for `kubectl apply`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::Value;

use crate::Hub;

/// Top of the generated file.
const HEADER: &str = "# Generated from the types in crds/ by `cargo e2e generate`.\n";

/// The definition of `hubs.jupyter.rs`.
pub fn crd() -> CustomResourceDefinition {
    let mut value = serde_json::to_value(Hub::crd()).expect("a derived CRD is JSON");
    drop_unknown_formats(&mut value);
    serde_json::from_value(value).expect("dropping formats leaves a CRD")
}

/// [`crd`] as the text of `hub.yaml`.
pub fn crd_yaml() -> Result<String, serde_yaml::Error> {
    Ok(format!("{HEADER}{}", serde_yaml::to_string(&crd())?))
}

/// `uint16` and the like are no OpenAPI formats: the API server warns of each.
fn drop_unknown_formats(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if map.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                map.remove("format");
            }
            map.values_mut().for_each(drop_unknown_formats);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_unknown_formats),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client's `kubectl apply` keeps the object in an annotation of at most 256 KiB.
    #[test]
    fn the_definition_stays_small_enough_for_kubectl_apply() {
        let size = serde_json::to_vec(&crd()).unwrap().len();
        assert!(size < 200 * 1024, "hub.yaml has {size} bytes as JSON");
    }

    #[test]
    fn hub_yaml_is_what_the_types_say() {
        let stored = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/hub.yaml")).unwrap_or_default();
        assert!(stored == crd_yaml().unwrap(), "crds/hub.yaml is out of date: run `cargo e2e generate`");
    }

    #[test]
    fn every_field_is_documented() {
        let crd = serde_json::to_value(crd()).unwrap();
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let mut bare = Vec::new();
        undocumented(spec, "spec", &mut bare);
        assert!(bare.is_empty(), "fields without a description: {bare:?}");
    }

    fn undocumented(schema: &Value, path: &str, bare: &mut Vec<String>) {
        let Some(properties) = schema["properties"].as_object() else { return };
        for (name, field) in properties {
            let path = format!("{path}.{name}");
            if field["description"].as_str().is_none_or(str::is_empty) {
                bare.push(path.clone());
            }
            undocumented(field, &path, bare);
            undocumented(&field["items"], &path, bare);
        }
    }
}
