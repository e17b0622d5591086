//! JSON in the body of a request.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use serde_json::{Map, Value};

use crate::error::{Failure, Result};

/// The body as JSON, whatever its declared type; `None` if it is empty.
pub struct JsonBody(pub Option<Value>);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| Failure::new(rejection.status(), rejection.body_text()))?;
        match body.trim_ascii() {
            [] => Ok(Self(None)),
            text => serde_json::from_slice(text)
                .map(|value| Self(Some(value)))
                .map_err(|_| Failure::bad_request("Invalid JSON in body of request")),
        }
    }
}

impl JsonBody {
    /// An object; an empty body is an empty one.
    pub fn object(self, message: &str) -> Result<Map<String, Value>> {
        match self.0 {
            None | Some(Value::Null) => Ok(Map::new()),
            Some(Value::Object(object)) => Ok(object),
            Some(_) => Err(Failure::bad_request(message)),
        }
    }
}
