//! `/hub/api/oauth2/token`: a server or service turns a code into an access token (RFC 6749 section 4.1.3).

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use hub_auth::{pkce, token::new_oauth_token};
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::{
    app::App,
    database::{OAuthClient, OAuthCode, Redeemed},
    error::Result,
    form::{Fields, Form},
    loggable::loggable,
};

/// Why there is no token: the error code, and words where the client knows some.
struct Refusal {
    status: StatusCode,
    error: &'static str,
    description: Option<&'static str>,
}

pub async fn post(State(app): State<App>, headers: HeaderMap, Form(fields): Form) -> Result<Response> {
    let outcome = match authenticates_twice(&headers, &fields) {
        true => Err(bad("invalid_request", Some("More than one way of authentication."))),
        false => exchange(&app, &fields).await?,
    };
    match outcome {
        Ok(token) => Ok(answer(StatusCode::OK, &token)),
        Err(refusal) => {
            tracing::warn!(
                error = refusal.error,
                client.id = loggable(fields.text("client_id")),
                "refused an OAuth token"
            );
            Ok(refuse(&refusal))
        }
    }
}

async fn exchange(app: &App, fields: &Fields) -> Result<std::result::Result<Value, Refusal>> {
    if fields.text("grant_type") != "authorization_code" {
        return Ok(Err(bad("unsupported_grant_type", None)));
    }
    let Some(code) = fields.get("code") else {
        return Ok(Err(bad("invalid_request", Some("Missing code parameter."))));
    };
    if ["client_id", "grant_type", "redirect_uri"].iter().any(|name| fields.count(name) > 1) {
        return Ok(Err(bad("invalid_request", Some("Duplicate parameter."))));
    }
    let Some(client) = authenticate(app, fields).await? else {
        return Ok(Err(Refusal { status: StatusCode::UNAUTHORIZED, error: "invalid_client", description: None }));
    };
    let token = new_oauth_token(rand::random());
    let lifetime = app.sessions.oauth_token_seconds();
    let expires_at = app.now() + SignedDuration::from_secs(lifetime);
    let check = |code: &OAuthCode| check(code, &client, fields).map(|()| expires_at);
    let error = match app.database.redeem_code(code, app.now(), &token, check).await? {
        Redeemed::Granted(code) => return Ok(Ok(granted(&token, lifetime, &code))),
        Redeemed::Refused(refusal) => refusal,
        Redeemed::Replayed => {
            tracing::warn!(
                client.id = client.identifier,
                "an OAuth code came twice; the token of the first time has ended"
            );
            bad("invalid_grant", None)
        }
        Redeemed::Unknown => bad("invalid_grant", None),
    };
    Ok(Err(error))
}

/// A client uses one way of authentication (RFC 6749 section 2.3). `Authorization: token ..`, which servers send with
/// everything, is none of them.
fn authenticates_twice(headers: &HeaderMap, fields: &Fields) -> bool {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = authorization.split(' ').next().unwrap_or_default();
    kind.eq_ignore_ascii_case("basic") && fields.get("client_secret").is_some()
}

/// By the secret in the form; a client without one never.
async fn authenticate(app: &App, fields: &Fields) -> Result<Option<OAuthClient>> {
    let Some(client) = app.database.oauth_client(fields.text("client_id")).await? else { return Ok(None) };
    Ok(client.verify_secret(fields.text("client_secret")).await?.then_some(client))
}

/// Pure: the client is the one that asked (RFC 7636 section 4.6), and at the same address.
fn check(code: &OAuthCode, client: &OAuthClient, fields: &Fields) -> std::result::Result<(), Refusal> {
    if code.client_id != client.identifier {
        return Err(bad("invalid_grant", None));
    }
    if let Some((challenge, method)) = &code.challenge {
        match fields.get("code_verifier") {
            None => return Err(bad("invalid_request", Some("Code verifier required."))),
            Some(verifier) if pkce::verify(challenge, *method, verifier) => {}
            Some(_) => return Err(bad("invalid_grant", None)),
        }
    }
    match fields.get("redirect_uri") {
        Some(uri) if uri != code.redirect_uri => Err(bad("invalid_request", Some("Mismatching redirect URI."))),
        _ => Ok(()),
    }
}

/// `lifetime` is in seconds.
fn granted(token: &SecretString, lifetime: i64, code: &OAuthCode) -> Value {
    json!({
        "access_token": token.expose_secret(),
        "expires_in": lifetime,
        "token_type": "Bearer",
        "scope": code.scopes.join(" "),
    })
}

fn bad(error: &'static str, description: Option<&'static str>) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, error, description }
}

fn refuse(refusal: &Refusal) -> Response {
    let mut body = json!({"error": refusal.error});
    if let Some(description) = refusal.description {
        body["error_description"] = description.into();
    }
    let mut response = answer(refusal.status, &body);
    if refusal.status == StatusCode::UNAUTHORIZED {
        let challenge = header::HeaderValue::from_static("Bearer error=\"invalid_client\"");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Nothing on the way may keep it (RFC 6749 section 5.1).
fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")];
    (status, headers, Json(body)).into_response()
}
