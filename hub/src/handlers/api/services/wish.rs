//! What is asked of a new service, in the body of a request. Pure.

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::{
    error::{Failure, Result},
    services::ClientWish,
};

/// What is asked of a new service.
#[derive(Debug, Default)]
pub(super) struct ServiceWish {
    pub(super) admin: bool,
    pub(super) url: String,
    pub(super) info: Map<String, Value>,
    pub(super) display: Option<bool>,
    pub(super) api_token: Option<SecretString>,
    pub(super) client: ClientWish,
    pub(super) allowed_scopes: Vec<String>,
    /// The hub would have to run it.
    pub(super) is_managed: bool,
}

impl ServiceWish {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// 400 that names the field; never its value, which may be a token.
    pub(super) fn read(fields: Map<String, Value>) -> Result<Self> {
        let mut wish = Self::default();
        let mut unknown = Vec::new();
        for (key, value) in fields {
            match key.as_str() {
                // The address says it.
                "name" => drop(text(&key, value)?),
                "admin" => wish.admin = flag(&key, &value)?,
                "url" => wish.url = text(&key, value)?,
                "info" => wish.info = object(&key, value)?,
                "display" => wish.display = Some(flag(&key, &value)?),
                "api_token" => {
                    wish.api_token = Some(text(&key, value)?).filter(|token| !token.is_empty()).map(SecretString::from);
                }
                "oauth_client_allowed_scopes" => wish.allowed_scopes = texts(&key, value)?,
                "oauth_no_confirm" => wish.client.no_confirm = flag(&key, &value)?,
                "oauth_client_id" => wish.client.id = Some(text(&key, value)?),
                "oauth_redirect_uri" => wish.client.redirect_uri = Some(text(&key, value)?),
                "command" => wish.is_managed = !list(&key, value)?.is_empty(),
                // These are for services that the hub runs.
                "cwd" | "user" => drop(text(&key, value)?),
                "environment" => drop(object(&key, value)?),
                _ => unknown.push(key),
            }
        }
        match unknown.is_empty() {
            true => Ok(wish),
            false => Err(Failure::bad_request(format!("Invalid JSON keys: {}", unknown.join(", ")))),
        }
    }
}

fn wrong_type(key: &str, expected: &str) -> Failure {
    Failure::bad_request(format!("service.{key} must be {expected}"))
}

fn flag(key: &str, value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| wrong_type(key, "a boolean"))
}

fn text(key: &str, value: Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(wrong_type(key, "a string")),
    }
}

fn list(key: &str, value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(list) => Ok(list),
        _ => Err(wrong_type(key, "a list")),
    }
}

fn texts(key: &str, value: Value) -> Result<Vec<String>> {
    let texts = list(key, value)?.into_iter().map(|item| text(key, item));
    texts.collect::<Result<_>>().map_err(|_| wrong_type(key, "a list of strings"))
}

fn object(key: &str, value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(wrong_type(key, "an object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> std::result::Result<ServiceWish, String> {
        let Value::Object(fields) = body else { panic!("not an object") };
        ServiceWish::read(fields).map_err(|failure| match failure {
            Failure::Status { message, .. } => message.unwrap(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn all_that_jupyterhub_takes_is_read() {
        let wish = read(json!({
            "name": "ignored", "admin": true, "url": "http://a", "oauth_client_allowed_scopes": ["self"],
            "api_token": "secret-token", "info": {"a": [1]}, "display": false, "oauth_no_confirm": true, "command": [],
            "cwd": "/", "environment": {}, "user": "u", "oauth_client_id": "service-b", "oauth_redirect_uri": "/cb",
        }))
        .unwrap();
        assert!(wish.admin && wish.client.no_confirm && !wish.is_managed);
        assert_eq!((wish.url.as_str(), wish.display), ("http://a", Some(false)));
        assert_eq!((wish.client.id.as_deref(), wish.client.redirect_uri.as_deref()), (Some("service-b"), Some("/cb")));
        assert_eq!(wish.allowed_scopes, ["self"]);
        assert_eq!(wish.info["a"], json!([1]));
        assert!(read(json!({"command": ["python3"]})).unwrap().is_managed);
    }

    #[test]
    fn wrong_fields_are_named_and_their_values_are_not() {
        for (body, message) in [
            (json!({"tokn": "secret", "more": 1}), "Invalid JSON keys: more, tokn"),
            (json!({"admin": "secret"}), "service.admin must be a boolean"),
            (json!({"display": null}), "service.display must be a boolean"),
            (json!({"api_token": 12345678}), "service.api_token must be a string"),
            (json!({"info": []}), "service.info must be an object"),
            (json!({"oauth_client_allowed_scopes": "secret"}), "service.oauth_client_allowed_scopes must be a list"),
            (
                json!({"oauth_client_allowed_scopes": ["self", 1]}),
                "service.oauth_client_allowed_scopes must be a list of strings",
            ),
        ] {
            assert_eq!(read(body.clone()).unwrap_err(), message, "{body}");
        }
    }
}
