//! Login at a real provider of OpenID Connect, the Node.js program oidc-provider, whose directory `OIDC_PROVIDER` names. It is
//! skipped without it.

use axum::http::StatusCode;
use hub_crds::config::{AuthConfig, AuthenticatorConfig, OidcProvider};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use url::Url;

use crate::{
    oidc::me,
    test_hub::{CRYPT_KEYS, Settings, TestHub},
};

const CLIENT: &str = "the-hub";
const SECRET: &str = "a secret of the client";

/// The program. It ends with this.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A person's browser at the provider, which knows nothing of the hub's cookies.
struct AtProvider(reqwest::Client);

impl AtProvider {
    fn new() -> Self {
        let client = hub_server::http_client().no_proxy().cookie_store(true);
        Self(client.redirect(reqwest::redirect::Policy::none()).build().unwrap())
    }

    /// Follows the provider's pages, fills in its forms, and returns the path at the hub that it leads back to.
    async fn go(&self, address: &str) -> String {
        let mut answer = self.0.get(address).send().await.unwrap();
        for _ in 0..20 {
            let here = answer.url().clone();
            if let Some(to) = answer.headers().get("location") {
                let to = here.join(to.to_str().unwrap()).unwrap();
                if to.host_str() == Some("hub.test") {
                    return to.as_str().strip_prefix("http://hub.test").unwrap().to_owned();
                }
                answer = self.0.get(to).send().await.unwrap();
                continue;
            }
            let status = answer.status();
            let page = answer.text().await.unwrap();
            assert!(status.is_success(), "{status} at {here}: {page}");
            let value = |mark: &str| page.split_once(mark).map(|(_, rest)| rest.split('"').next().unwrap_or_default());
            let action = here.join(value("action=\"").unwrap_or_else(|| panic!("no form at {here}: {page}"))).unwrap();
            let form = match value("name=\"xsrf\" value=\"") {
                Some(xsrf) => vec![("xsrf", xsrf), ("logout", "yes")],
                None => vec![
                    ("prompt", value("name=\"prompt\" value=\"").unwrap_or_default()),
                    ("login", "ada"),
                    ("password", "x"),
                ],
            };
            answer = self.0.post(action).form(&form).send().await.unwrap();
        }
        panic!("the provider leads in circles");
    }
}

fn people(directory: &Path, people: &Value) {
    let file = directory.join("people.json");
    fs::write(file.with_extension("new"), people.to_string()).unwrap();
    fs::rename(file.with_extension("new"), file).unwrap();
}

async fn start(program: &Path, port: u16, clients: &Path) -> Program {
    let child = Command::new(program.join("node"))
        .arg(program.join("oidc-provider.mjs"))
        .arg(format!("http://127.0.0.1:{port}"))
        .arg(clients)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let program = Program(child);
    let client = hub_server::http_client().no_proxy().build().unwrap();
    for _ in 0..200 {
        if client.get(format!("http://127.0.0.1:{port}/jwks")).send().await.is_ok() {
            return program;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the provider did not start");
}

/// Login with PKCE and nonce by RS256, groups, refresh with rotating tokens, a provider that is away, logout at the provider, and
/// its back channel.
#[tokio::test]
async fn a_real_provider_logs_people_in_and_out() {
    let Some(program) = std::env::var_os("OIDC_PROVIDER") else {
        return println!("skipped: OIDC_PROVIDER does not name a directory with oidc-provider");
    };
    let program = Path::new(&program);
    let directory = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let secret = directory.path().join("client-secret");
    fs::write(&secret, SECRET).unwrap();
    let provider = OidcProvider {
        issuer: Some(format!("http://127.0.0.1:{port}")),
        refresh_seconds: 1,
        admin_groups: vec!["ops".to_owned()],
        ..OidcProvider::new(CLIENT)
    };
    let settings = || Settings {
        auth: Some(AuthConfig {
            allowed_groups: vec!["staff".to_owned()],
            manage_groups: true,
            enable_auth_state: true,
            ..AuthConfig::new(AuthenticatorConfig::Oidc {
                provider: Box::new(provider.clone()),
                client_secret_file: secret.clone(),
                ca_file: None,
            })
        }),
        ..Settings::default()
    };
    let hub = TestHub::with(settings()).await;
    let keys = hub.path(CRYPT_KEYS);
    let hub = hub
        .restarted_after(settings(), || {
            fs::create_dir_all(keys.parent().unwrap()).unwrap();
            fs::write(&keys, "6b".repeat(32)).unwrap();
        })
        .await;
    let clients = directory.path().join("clients.json");
    let client = json!([{
        "client_id": CLIENT,
        "client_secret": SECRET,
        "redirect_uris": ["http://hub.test/hub/oauth_callback"],
        "post_logout_redirect_uris": ["http://hub.test/hub/logout"],
        "backchannel_logout_uri": format!("{}/hub/oidc/backchannel-logout", hub.proxy_url),
        "backchannel_logout_session_required": true,
        "grant_types": ["authorization_code", "refresh_token"],
    }]);
    fs::write(&clients, client.to_string()).unwrap();
    people(directory.path(), &json!({"ada": {"preferred_username": "Ada", "groups": ["staff"]}}));
    register(&hub).await;
    let running = start(program, port, &clients).await;

    let (mut browser, at_provider) = (hub.browser(), AtProvider::new());
    let there = browser.get("/hub/oauth_login?next=%2Fhub%2Ftoken").await.location().to_owned();
    let back = at_provider.go(&there).await;
    let answer = browser.get(&back).await;
    assert_eq!(answer.location(), "/hub/token", "{}", answer.text);
    let known = me(&mut browser).await;
    assert_eq!((&known["name"], &known["admin"], &known["groups"]), (&json!("ada"), &json!(false), &json!(["staff"])));
    assert!(browser.clone().get(&back).await.location() == "/hub/spawn", "the answer again is no other login");

    // Groups follow, and the refresh token that each refresh gives is used at the next.
    let later = || tokio::time::sleep(Duration::from_millis(1100));
    people(directory.path(), &json!({"ada": {"preferred_username": "Ada", "groups": ["staff", "ops"]}}));
    for _ in 0..3 {
        later().await;
        me(&mut browser).await;
    }
    let known = me(&mut browser).await;
    assert_eq!((&known["admin"], &known["groups"]), (&json!(true), &json!(["ops", "staff"])));
    let state = browser.get("/hub/api/users/ada").await.json()["auth_state"].clone();
    assert_eq!(state["oauth_user"]["groups"], json!(["staff", "ops"]));

    // The provider is away, and nobody is logged out.
    drop(running);
    later().await;
    assert_eq!(me(&mut browser).await["name"], "ada");
    // It comes back without its memory: it knows no refresh token any more.
    let _running = start(program, port, &clients).await;
    later().await;
    assert_eq!(me(&mut browser).await, Value::Null);

    // Two browsers in one session of the provider's: a logout in one ends the other by the back channel.
    let (mut first, mut second) = (hub.browser(), hub.browser());
    for browser in [&mut first, &mut second] {
        let there = browser.get("/hub/oauth_login").await.location().to_owned();
        let back = at_provider.go(&there).await;
        assert_eq!(browser.get(&back).await.location(), "/hub/spawn");
    }
    let out = first.get("/hub/logout").await.location().to_owned();
    let hint = Url::parse(&out).unwrap().query_pairs().any(|(name, _)| name == "id_token_hint");
    assert!(out.contains("/session/end?") && hint, "{out}");
    let back = at_provider.go(&out).await;
    assert!(back.starts_with("/hub/logout"), "{back}");
    let page = first.get(&back).await;
    assert_eq!((page.status, page.location()), (StatusCode::FOUND, "/hub/login"));
    for _ in 0..50 {
        if me(&mut second).await == Value::Null {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the other browser is still logged in");
}

/// The proxy leads to the hub, as where the hub runs as a program.
async fn register(hub: &TestHub) {
    for _ in 0..100 {
        let answer = hub_server::http_client().no_proxy().build().unwrap().get(format!("{}/hub/health", hub.proxy_url));
        if answer.send().await.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the proxy does not lead to the hub");
}
