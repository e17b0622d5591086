//! The HTTP client under the ACME library: with the authority's own CA if it is not a public one, with limits, and with an ear
//! for `Retry-After`, which the library tells of at few places.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use reqwest::{Certificate, Client, Response, redirect};
use serde_json::{Value, json};

/// How long the authority may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read: a chain of certificates has some KiB.
const LONGEST: usize = 1 << 20;

/// Speaks to one authority.
#[derive(Clone)]
pub struct AuthorityClient {
    client: Client,
    retry_after: Arc<Mutex<Option<SignedDuration>>>,
}

/// Why no client can be made.
#[derive(Debug, thiserror::Error)]
#[error("spec.https.letsencrypt.serverCaSecretRef: the value is no certificate in PEM: {0}")]
pub struct BadAuthority(#[source] reqwest::Error);

impl AuthorityClient {
    /// A client that trusts these certificates only, or the public authorities.
    ///
    /// # Errors
    /// `authority_pem` is no PEM.
    pub fn new(authority_pem: Option<&[u8]>) -> Result<Self, BadAuthority> {
        let builder = Client::builder().https_only(true).timeout(TIMEOUT).redirect(redirect::Policy::none());
        let builder = match authority_pem {
            Some(pem) => builder.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(BadAuthority)?),
            None => builder,
        };
        Ok(Self { client: builder.build().map_err(BadAuthority)?, retry_after: Arc::default() })
    }

    /// `Retry-After` of the last answer.
    pub fn retry_after(&self) -> Option<SignedDuration> {
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn send(self, request: http::Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, instant_acme::Error> {
        let other = |error: reqwest::Error| instant_acme::Error::Other(Box::new(error));
        let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap)).map_err(other)?;
        let mut response = self.client.execute(request).await.map_err(other)?;
        let (mut parts, ()) = http::Response::new(()).into_parts();
        (parts.status, parts.headers) = (response.status(), response.headers().clone());
        *self.retry_after.lock().unwrap_or_else(PoisonError::into_inner) =
            retry_after(&parts.headers, Timestamp::now());
        let body = read(&mut response).await?;
        Ok(BytesResponse { body: Box::new(problem_or(body, parts.status)), parts })
    }
}

impl HttpClient for AuthorityClient {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        Box::pin(self.clone().send(request))
    }
}

async fn read(response: &mut Response) -> Result<Vec<u8>, instant_acme::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| instant_acme::Error::Other(Box::new(error)))? {
        if body.len() + chunk.len() > LONGEST {
            return Err(instant_acme::Error::Str("an answer of at most 1 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The library wants a problem document where a gateway in front of the authority, or a mistaken address, gives a page.
fn problem_or(body: Vec<u8>, status: StatusCode) -> Bytes {
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || serde_json::from_slice::<Value>(&body).is_ok_and(|value| value.is_object()) {
        return body.into();
    }
    json!({"detail": format!("HTTP status {status}"), "status": status.as_u16()}).to_string().into_bytes().into()
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(SignedDuration::from_secs(seconds.into()));
    }
    let date = rfc2822::parse(value).ok()?.timestamp();
    Some(date.duration_since(now).max(SignedDuration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        for (value, expected) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers, now).map(|after| after.as_secs()), expected, "{value}");
        }
    }

    #[test]
    fn a_page_in_place_of_a_problem_document_is_told_by_its_status() {
        let page = problem_or(b"<html>".to_vec(), StatusCode::BAD_GATEWAY);
        assert_eq!(page, r#"{"detail":"HTTP status 502 Bad Gateway","status":502}"#);
        assert_eq!(problem_or(b"{\"type\": 1}".to_vec(), StatusCode::BAD_REQUEST), "{\"type\": 1}");
        assert_eq!(problem_or(b"-----BEGIN".to_vec(), StatusCode::OK), "-----BEGIN");
    }

    #[test]
    fn a_client_needs_certificates_in_pem() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        assert!(AuthorityClient::new(None).is_ok());
        assert!(
            AuthorityClient::new(Some(b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----")).is_err()
        );
    }
}
