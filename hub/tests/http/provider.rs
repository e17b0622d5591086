//! A provider of OpenID Connect whose every word a test can change: real ones are what the tests of the clients have.

use axum::{
    Json, Router,
    extract::{Form, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hub_auth::pkce;
use hub_crds::config::{AuthConfig, AuthenticatorConfig, OidcEndpoints, OidcProvider};
use jiff::Timestamp;
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    sync::{Arc, Mutex, MutexGuard},
};
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

use crate::browser::{Answer, Browser};

pub(crate) const CLIENT: &str = "the-hub";
const SECRET: &str = "a secret: 50% +";

/// A provider that runs. It ends with the test.
pub(crate) struct Provider {
    /// Its issuer.
    pub(crate) url: String,
    shared: Arc<Shared>,
    directory: TempDir,
}

struct Shared {
    url: String,
    key: Signer,
    word: Mutex<Word>,
    codes: Mutex<HashMap<String, Asked>>,
}

/// What the authorization endpoint was asked with.
#[derive(Clone)]
struct Asked {
    nonce: Option<String>,
    challenge: String,
    redirect_uri: String,
}

/// What the provider says now.
#[derive(Clone)]
pub(crate) struct Word {
    /// Of the ID token, over what a good one says; `null` leaves a claim out.
    pub(crate) claims: Value,
    /// In place of the ID token's own subject and name.
    pub(crate) user_data: Value,
    /// Over the header of the ID token.
    pub(crate) header: Value,
    /// Makes the token of what is signed otherwise: header and payload, encoded.
    pub(crate) sign: Option<fn(&str) -> String>,
    /// More keys, before its own.
    pub(crate) keys: Vec<Value>,
    pub(crate) metadata: Value,
    /// Every endpoint answers 503.
    pub(crate) is_down: bool,
    /// No code or token is good any more.
    pub(crate) denies: bool,
    /// A code is good again and again.
    pub(crate) repeats: bool,
    /// How often the keys were asked for.
    pub(crate) keys_asked: u32,
    /// How often a refresh token was used.
    pub(crate) refreshed: u32,
}

/// Signs with a key of P-256.
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    id: &'static str,
}

impl Signer {
    pub(crate) fn new(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        Self { pair, random, id }
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "x": number(&point[1..33]), "y": number(&point[33..])})
    }

    pub(crate) fn sign(&self, message: &str) -> String {
        let signature = self.pair.sign(&self.random, message.as_bytes()).unwrap();
        format!("{message}.{}", encode(signature.as_ref()))
    }
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `changes` over `value`; what is null goes.
fn over(mut value: Value, changes: &Value) -> Value {
    for (name, change) in changes.as_object().unwrap() {
        match change {
            Value::Null => drop(value.as_object_mut().unwrap().remove(name)),
            change => value[name] = change.clone(),
        }
    }
    value
}

impl Provider {
    /// One that vouches for ada, of the group `staff`.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let word = Word {
            claims: json!({}),
            user_data: json!({"sub": "u1", "preferred_username": "ada", "groups": ["staff"]}),
            header: json!({}),
            sign: None,
            keys: Vec::new(),
            metadata: json!({}),
            is_down: false,
            denies: false,
            repeats: false,
            keys_asked: 0,
            refreshed: 0,
        };
        let key = Signer::new("k1");
        let shared = Shared { url: url.clone(), key, word: Mutex::new(word), codes: Mutex::default() };
        let shared = Arc::new(shared);
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/userinfo", get(user_data))
            .route("/userinfo/orgs", get(organisations))
            .route("/userinfo/teams", get(teams))
            .with_state(shared.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        Self { url, shared, directory: tempfile::tempdir().unwrap() }
    }

    /// What it says from now on.
    pub(crate) fn says(&self, change: impl FnOnce(&mut Word)) {
        change(&mut self.word());
    }

    pub(crate) fn word(&self) -> MutexGuard<'_, Word> {
        self.shared.word.lock().unwrap()
    }

    /// Settings of a hub that ada, and nobody else, may log in at.
    pub(crate) fn auth(&self) -> AuthConfig {
        let provider = OidcProvider {
            issuer: Some(self.url.clone()),
            display_name: "Test <Login>".to_owned(),
            ..OidcProvider::new(CLIENT)
        };
        AuthConfig { allowed_users: vec!["ada".to_owned()], ..self.auth_of(provider) }
    }

    /// The same of a hub that knows no issuer, only endpoints.
    pub(crate) fn auth_by_endpoints(&self, provider: OidcProvider) -> AuthConfig {
        let endpoints = OidcEndpoints {
            authorization_url: format!("{}/auth", self.url),
            token_url: format!("{}/token", self.url),
            userinfo_url: format!("{}/userinfo", self.url),
        };
        self.auth_of(OidcProvider { endpoints: Some(endpoints), client_id: CLIENT.to_owned(), ..provider })
    }

    fn auth_of(&self, provider: OidcProvider) -> AuthConfig {
        let file = self.directory.path().join("client-secret");
        fs::write(&file, format!("{SECRET}\n")).unwrap();
        AuthConfig::new(AuthenticatorConfig::Oidc {
            provider: Box::new(provider),
            client_secret_file: file,
            ca_file: None,
        })
    }

    /// The person logs in where the hub sent them, and is sent back to this path of the hub's.
    pub(crate) fn approve(&self, location: &str) -> String {
        let asked = Url::parse(location).unwrap();
        let query: BTreeMap<_, _> = asked.query_pairs().into_owned().collect();
        assert_eq!(query["response_type"], "code");
        assert_eq!((query["client_id"].as_str(), query["code_challenge_method"].as_str()), (CLIENT, "S256"));
        let code = hex::encode(rand::random::<[u8; 8]>());
        let asked = Asked {
            nonce: query.get("nonce").cloned(),
            challenge: query["code_challenge"].clone(),
            redirect_uri: query["redirect_uri"].clone(),
        };
        let path = Url::parse(&asked.redirect_uri).unwrap().path().to_owned();
        self.shared.codes.lock().unwrap().insert(code.clone(), asked);
        let back = form_urlencoded::Serializer::new(String::new())
            .append_pair("code", &code)
            .append_pair("state", &query["state"])
            .finish();
        format!("{path}?{back}")
    }

    /// From the hub to the provider and back, in one browser.
    pub(crate) async fn log_in(&self, browser: &mut Browser<'_>, next: &str) -> Answer {
        let next: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
        let there = browser.get(&format!("/hub/oauth_login?next={next}")).await;
        let back = self.approve(there.location());
        browser.get(&back).await
    }

    /// A logout token, with changes over a good one.
    pub(crate) fn logout_token(&self, changes: &Value) -> String {
        let now = Timestamp::now().as_second();
        let event = "http://schemas.openid.net/event/backchannel-logout";
        let good = json!({
            "iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 120, "sub": "u1",
            "jti": hex::encode(rand::random::<[u8; 8]>()), "events": {event: {}},
        });
        self.shared.signed(&over(good, changes), &json!({"typ": "logout+jwt"}))
    }
}

impl Shared {
    fn word(&self) -> Result<Word, StatusCode> {
        let word = self.word.lock().unwrap().clone();
        if word.is_down { Err(StatusCode::SERVICE_UNAVAILABLE) } else { Ok(word) }
    }

    fn signed(&self, claims: &Value, header: &Value) -> String {
        let word = self.word.lock().unwrap().clone();
        let header = over(json!({"alg": "ES256", "kid": "k1"}), header);
        let header = over(header, &word.header);
        let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        word.sign.map_or_else(|| self.key.sign(&message), |sign| sign(&message))
    }

    fn id_token(&self, nonce: Option<&String>) -> String {
        let now = Timestamp::now().as_second();
        let word = self.word.lock().unwrap().clone();
        let good = json!({
            "iss": self.url, "aud": CLIENT, "sub": word.user_data["sub"], "sid": "session-1", "nonce": nonce,
            "iat": now, "exp": now + 300,
        });
        self.signed(&over(good, &word.claims), &json!({}))
    }
}

async fn metadata(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, StatusCode> {
    let (word, url) = (shared.word()?, &shared.url);
    Ok(Json(over(
        json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/auth"),
            "token_endpoint": format!("{url}/token"),
            "userinfo_endpoint": format!("{url}/userinfo"),
            "jwks_uri": format!("{url}/keys"),
            "end_session_endpoint": format!("{url}/logout"),
            "id_token_signing_alg_values_supported": ["ES256", "RS256", "HS256", "none"],
        }),
        &word.metadata,
    )))
}

async fn keys(State(shared): State<Arc<Shared>>) -> Result<Json<Value>, StatusCode> {
    let mut word = shared.word()?;
    shared.word.lock().unwrap().keys_asked += 1;
    word.keys.push(shared.key.jwk());
    Ok(Json(json!({"keys": word.keys})))
}

async fn token(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> Result<Json<Value>, Response> {
    let word = shared.word().map_err(IntoResponse::into_response)?;
    let encoded: String = form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{encoded}")));
    let by_header = headers.get(header::AUTHORIZATION).is_some_and(|given| *given == basic);
    let by_form = form.get("client_secret").is_some_and(|given| given == SECRET) && form["client_id"] == CLIENT;
    assert!(by_header != by_form, "the client proves itself in one way");
    let refused = || (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant"}))).into_response();
    if word.denies {
        return Err(refused());
    }
    let mut answer = json!({"access_token": "the-access-token", "token_type": "Bearer", "scope": "openid profile"});
    match form["grant_type"].as_str() {
        "authorization_code" => {
            let mut codes = shared.codes.lock().unwrap();
            let asked = if word.repeats { codes.get(&form["code"]).cloned() } else { codes.remove(&form["code"]) };
            let asked = asked.ok_or_else(refused)?;
            let fits = pkce::verify(&asked.challenge, pkce::Method::S256, &form["code_verifier"]);
            if !fits || asked.redirect_uri != form["redirect_uri"] {
                return Err(refused());
            }
            answer["refresh_token"] = "the-refresh-token-0".into();
            answer["id_token"] = shared.id_token(asked.nonce.as_ref()).into();
        }
        _ => {
            let mut word = shared.word.lock().unwrap();
            if form["refresh_token"] != format!("the-refresh-token-{}", word.refreshed) {
                return Err(refused());
            }
            word.refreshed += 1;
            answer["refresh_token"] = format!("the-refresh-token-{}", word.refreshed).into();
            drop(word);
            answer["id_token"] = shared.id_token(None).into();
        }
    }
    Ok(Json(answer))
}

async fn user_data(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    let word = authorized(&shared, &headers)?;
    Ok(Json(word.user_data))
}

async fn organisations(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    authorized(&shared, &headers)?;
    Ok(Json(json!([{"login": "jupyter"}])))
}

async fn teams(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    authorized(&shared, &headers)?;
    Ok(Json(json!([{"slug": "docs", "organization": {"login": "jupyter"}}])))
}

fn authorized(shared: &Shared, headers: &HeaderMap) -> Result<Word, StatusCode> {
    let word = shared.word()?;
    let is_known = headers.get(header::AUTHORIZATION).is_some_and(|given| given == "Bearer the-access-token");
    if is_known && !word.denies { Ok(word) } else { Err(StatusCode::UNAUTHORIZED) }
}
