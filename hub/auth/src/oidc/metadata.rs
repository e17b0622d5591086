//! What a provider publishes of itself (OpenID Connect Discovery 1.0).

use serde::Deserialize;

use super::jws::Algorithm;

/// The provider's endpoints and habits, of which only those that this hub uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub userinfo_endpoint: Option<String>,
    pub jwks_uri: String,
    pub end_session_endpoint: Option<String>,
    /// The ways of signing that are accepted, at least one.
    pub algorithms: Vec<Algorithm>,
    /// The client's secret goes in the header `Authorization`, not in the form.
    pub takes_basic_auth: bool,
    /// Its answers say who they are from (RFC 9207).
    pub names_itself: bool,
}

/// Why a document is no provider's. The remedy is the administrator's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMetadata {
    #[error("it is not what OpenID Connect Discovery describes: {0}")]
    Format(String),
    #[error("it is of the issuer `{found}`; set exactly that as the issuer, if it is the right one")]
    Issuer { found: String },
    #[error("its {0} is no address that can be asked safely; it must start with https:// as the issuer does")]
    Address(&'static str),
    #[error("it signs tokens in no way that this hub accepts; have it use RS256, PS256, ES256 or EdDSA")]
    Algorithms,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    jwks_uri: String,
    end_session_endpoint: Option<String>,
    id_token_signing_alg_values_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Where an issuer's document is (Discovery section 4).
pub fn address(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// Reads an issuer's document.
///
/// # Errors
/// It is another issuer's, or none that can be used.
pub fn parse(document: &[u8], issuer: &str) -> Result<Metadata, BadMetadata> {
    let document: Document =
        serde_json::from_slice(document).map_err(|error| BadMetadata::Format(error.to_string()))?;
    if document.issuer != issuer {
        return Err(BadMetadata::Issuer { found: document.issuer.chars().take(256).collect() });
    }
    for (name, address) in [
        ("authorization_endpoint", Some(&document.authorization_endpoint)),
        ("token_endpoint", Some(&document.token_endpoint)),
        ("userinfo_endpoint", document.userinfo_endpoint.as_ref()),
        ("jwks_uri", Some(&document.jwks_uri)),
        ("end_session_endpoint", document.end_session_endpoint.as_ref()),
    ] {
        if address.is_some_and(|address| !is_as_safe_as(issuer, address)) {
            return Err(BadMetadata::Address(name));
        }
    }
    // Section 3 has RS256 as what every provider knows.
    let named = document.id_token_signing_alg_values_supported.unwrap_or_else(|| vec!["RS256".to_owned()]);
    let algorithms: Vec<_> = named.iter().filter_map(|name| Algorithm::parse(name)).collect();
    if algorithms.is_empty() {
        return Err(BadMetadata::Algorithms);
    }
    let methods = document.token_endpoint_auth_methods_supported;
    Ok(Metadata {
        issuer: document.issuer,
        authorization_endpoint: document.authorization_endpoint,
        token_endpoint: document.token_endpoint,
        userinfo_endpoint: document.userinfo_endpoint,
        jwks_uri: document.jwks_uri,
        end_session_endpoint: document.end_session_endpoint,
        algorithms,
        takes_basic_auth: methods.is_none_or(|methods| methods.iter().any(|name| name == "client_secret_basic")),
        names_itself: document.authorization_response_iss_parameter_supported,
    })
}

/// A provider that is reached over TLS is not asked without, whatever its document says.
fn is_as_safe_as(issuer: &str, address: &str) -> bool {
    address.starts_with("https://") || !issuer.starts_with("https://") && address.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn with(change: &Value) -> Result<Metadata, BadMetadata> {
        let mut document = json!({
            "issuer": "https://login.example.org/a",
            "authorization_endpoint": "https://login.example.org/a/auth",
            "token_endpoint": "https://login.example.org/a/token",
            "jwks_uri": "https://login.example.org/a/keys",
            "id_token_signing_alg_values_supported": ["none", "HS256", "ES256", "RS256"],
        });
        document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        parse(document.to_string().as_bytes(), "https://login.example.org/a")
    }

    #[test]
    fn a_document_is_of_the_issuer_that_was_asked_and_leads_to_no_less_safe_place_row_31() {
        let good = with(&json!({})).unwrap();
        assert_eq!(good.algorithms, [Algorithm::Es256, Algorithm::Rs256]);
        assert!(good.takes_basic_auth && good.userinfo_endpoint.is_none());
        for (change, error) in [
            (json!({"issuer": "https://login.example.org/a/"}), "`https://login.example.org/a/`"),
            (json!({"jwks_uri": "http://login.example.org/keys"}), "its jwks_uri"),
            (json!({"token_endpoint": "file:///etc/passwd"}), "its token_endpoint"),
            (json!({"id_token_signing_alg_values_supported": ["none", "HS256"]}), "no way that this hub accepts"),
            (json!({"jwks_uri": 7}), "not what OpenID Connect Discovery"),
        ] {
            let refused = with(&change).unwrap_err().to_string();
            assert!(refused.contains(error), "{refused}");
        }
        assert!(
            !with(&json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]})).unwrap().takes_basic_auth
        );
        assert_eq!(address("https://a/b/"), "https://a/b/.well-known/openid-configuration");
    }
}
