//! The REST API as it describes itself, in OpenAPI 3.1: `openapi.yaml` beside this crate's manifest is written by hand, and
//! served as JSON. Pure.

use hub_auth::JUPYTERHUB_VERSION;
use serde_json::{Map, Value, json};

const SOURCE: &str = include_str!("../openapi.yaml");
/// Where the file keeps what it repeats; every place that needs it has it once the file is read.
const REPEATED: &str = "x-repeated";

/// The document of an API at the path `base`, such as `/hub/api`.
///
/// # Errors
/// The file is no YAML. It is part of the program, and a test reads it.
pub fn document(base: &str) -> Result<Value, serde_yaml::Error> {
    let mut source: serde_yaml::Value = serde_yaml::from_str(SOURCE)?;
    source.apply_merge()?;
    let mut document: Map<String, Value> = serde_yaml::from_value(source)?;
    document.remove(REPEATED);
    document.insert("servers".to_owned(), json!([{"url": base}]));
    let mut document = Value::Object(document);
    document["info"]["version"] = JUPYTERHUB_VERSION.into();
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_says_where_the_api_is_and_repeats_itself_in_full() {
        let document = document("/base/hub/api").unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], JUPYTERHUB_VERSION);
        assert_eq!(document["servers"], json!([{"url": "/base/hub/api"}]));
        let text = document.to_string();
        assert!(!text.contains("\"<<\"") && !text.contains(REPEATED));
    }
}
