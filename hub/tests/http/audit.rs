//! The audit log: whoever has to account for what was done finds each use of power in it once, by whom, and no secret.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use hub::login_links::{Wish, make};
use serde_json::{Value, json};

use crate::{
    attacks::log::Log,
    oauth::authorize,
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

/// The lines that came since the last look.
struct Lines {
    log: Log,
    seen: usize,
}

impl Lines {
    /// What was logged since, each line as `event actor user object outcome`, with `-` for what it doesn't have.
    fn new_ones(&mut self) -> Vec<String> {
        let all = self.log.audit();
        let new: Vec<_> = all[self.seen..].iter().map(|line| short(line)).collect();
        self.seen = all.len();
        new
    }

    fn assert(&mut self, expected: &[&str]) {
        assert_eq!(self.new_ones(), expected);
    }
}

fn short(line: &str) -> String {
    let field = |name: &str| {
        let value = format!(" {line}").split_once(&format!(" {name}=\"")).map(|(_, rest)| rest.to_owned());
        value.and_then(|value| Some(value.split_once('"')?.0.to_owned())).unwrap_or_else(|| "-".to_owned())
    };
    ["event", "actor", "user", "object", "outcome"].map(field).join("|")
}

async fn ask(hub: &TestHub, method: Method, path: &str, token: &str, body: Value) -> Value {
    let answer = hub.api(method, path, token, Some(body)).await;
    serde_json::from_str(&answer.text).unwrap_or_default()
}

#[tokio::test]
async fn every_use_of_power_leaves_one_line_and_no_secret() {
    let hub = TestHub::new().await;
    hub.give("alice", &["self", "shares!user=alice", "read:users:name"]).await;
    let mut lines = Lines { log: Log::capture(), seen: 0 };
    let mut secrets = vec![ALICE_TOKEN.to_owned(), BOB_TOKEN.to_owned(), ADMIN_TOKEN.to_owned()];

    // Tokens: one's own, and somebody else's, which is to act as that person.
    let made = ask(&hub, Method::POST, "/users/alice/tokens", ALICE_TOKEN, json!({})).await;
    let id = made["id"].as_str().unwrap();
    secrets.push(made["token"].as_str().unwrap().to_owned());
    ask(&hub, Method::DELETE, &format!("/users/alice/tokens/{id}"), ALICE_TOKEN, json!(null)).await;
    let by_root = ask(&hub, Method::POST, "/users/bob/tokens", ADMIN_TOKEN, json!({})).await;
    secrets.push(by_root["token"].as_str().unwrap().to_owned());
    ask(&hub, Method::DELETE, "/users/bob/tokens", ADMIN_TOKEN, json!(null)).await;
    lines.assert(&[
        &format!("token made|alice|alice|{id}|success"),
        &format!("token revoked|alice|alice|{id}|success"),
        &format!("token made|root|bob|{}|success", by_root["id"].as_str().unwrap()),
        "tokens revoked|root|-|user bob|success",
    ]);

    // A server: its owner's starts are nobody's business, an administrator's are.
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    secrets.push(server["JUPYTERHUB_API_TOKEN"].clone());
    lines.assert(&[]);
    hub.logged_in(ALICE_TOKEN).await.get(&authorize(&server, &[])).await;
    let mut root = hub.logged_in(ADMIN_TOKEN).await;
    root.get(&authorize(&server, &[])).await;
    lines.assert(&["login|-|alice|-|success", "login|-|root|-|success"]);
    let granted = root.submit(&authorize(&server, &[]), &[]).await.location().to_owned();
    secrets.push(granted.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned());
    let refused = hub.logged_in(BOB_TOKEN).await.get(&authorize(&server, &[])).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    ask(&hub, Method::POST, "/users/alice/admin-access", ADMIN_TOKEN, json!(null)).await;
    hub.stop_server("alice", ADMIN_TOKEN).await;
    hub.start_server("bob", ADMIN_TOKEN).await;
    hub.stop_server("bob", BOB_TOKEN).await;
    lines.assert(&[
        "server access|root|alice|alice/|success",
        "login|-|bob|-|success",
        "server access|bob|alice|alice/|refused",
        "admin access|root|alice|-|refused",
        "server stopped|root|alice|alice/|success",
        "server started|root|bob|bob/|success",
    ]);

    // Sharing.
    let with_bob = json!({"user": "bob"});
    ask(&hub, Method::POST, "/shares/alice/", ALICE_TOKEN, with_bob.clone()).await;
    ask(&hub, Method::PATCH, "/shares/alice/", ALICE_TOKEN, with_bob).await;
    ask(&hub, Method::DELETE, "/shares/alice/", ALICE_TOKEN, json!(null)).await;
    let code = ask(&hub, Method::POST, "/share-codes/alice/", ALICE_TOKEN, json!({})).await;
    let (id, code) = (code["id"].as_str().unwrap(), code["code"].as_str().unwrap().to_owned());
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    bob.get(&format!("/hub/accept-share?code={code}")).await;
    bob.submit("/hub/accept-share", &[("code", &code)]).await;
    bob.get("/hub/accept-share?code=there-is-none-like-this").await;
    ask(&hub, Method::DELETE, "/users/bob/shared/alice/", BOB_TOKEN, json!(null)).await;
    ask(&hub, Method::DELETE, &format!("/share-codes/alice/?code={code}"), ALICE_TOKEN, json!(null)).await;
    secrets.extend([code, "there-is-none-like-this".to_owned()]);
    lines.assert(&[
        "share made|alice|alice|alice/ with user: bob|success",
        "share revoked|alice|alice|alice/ with user: bob|success",
        "shares revoked|alice|alice|alice/|success",
        &format!("share code made|alice|alice|alice/ by {id}|success"),
        "login|-|bob|-|success",
        &format!("share accepted|bob|alice|alice/ by {id}|success"),
        "share accepted|bob|-|-|refused",
        "share revoked|bob|alice|alice/ with user: bob|success",
        "share codes revoked|alice|alice|alice/|success",
    ]);

    // Accounts.
    ask(&hub, Method::POST, "/users/carol", ADMIN_TOKEN, json!({})).await;
    ask(&hub, Method::POST, "/users", ADMIN_TOKEN, json!({"usernames": ["dave", "carol"], "admin": true})).await;
    ask(&hub, Method::PATCH, "/users/carol", ADMIN_TOKEN, json!({"admin": true})).await;
    ask(&hub, Method::PATCH, "/users/carol", ADMIN_TOKEN, json!({"admin": true, "name": "caroline"})).await;
    ask(&hub, Method::DELETE, "/users/caroline", ADMIN_TOKEN, json!(null)).await;
    lines.assert(&[
        "user made|root|carol|user|success",
        "user made|root|dave|administrator|success",
        "role changed|root|carol|administrator|success",
        "user renamed|root|carol|caroline|success",
        "user deleted|root|caroline|-|success",
    ]);

    // Login links, services, everything at once, the end.
    let wish = Wish { user: Some("alice".into()), seconds: 600 };
    let link = make(&hub.app, &wish, "hub link").await.unwrap().url;
    let token = link.split_once("?token=").unwrap().1.to_owned();
    let asked = hub.browser().get(&format!("/hub/home?token={token}")).await;
    secrets.push(token);
    assert_eq!(asked.status, StatusCode::FOUND);
    let service = json!({"api_token": "a-token-of-a-service-of-ours"});
    secrets.push("a-token-of-a-service-of-ours".to_owned());
    ask(&hub, Method::POST, "/services/spy", ADMIN_TOKEN, service).await;
    ask(&hub, Method::DELETE, "/services/spy", ADMIN_TOKEN, json!(null)).await;
    ask(&hub, Method::DELETE, "/tokens", ADMIN_TOKEN, json!(null)).await;
    ask(&hub, Method::POST, "/shutdown", ADMIN_TOKEN, json!({})).await;
    let new = lines.new_ones();
    assert!(new[0].starts_with("login link made|hub link|alice|until "), "{new:?}");
    assert_eq!(
        new[1..],
        [
            "login link used|alice|alice|-|success",
            "login|-|alice|-|success",
            "service made|root|-|spy|success",
            "service deleted|root|-|spy|success",
            "tokens revoked|root|-|all|success",
            "shutdown|root|-|the hub|success",
        ]
    );

    let text = lines.log.text();
    for secret in secrets {
        assert!(!text.contains(&secret), "{secret}");
    }
}

/// What asked for something, and from where, is found by the request's id: in the audit log, in the line of the request,
/// and in the answer.
#[tokio::test]
async fn a_line_names_its_request_and_who_sent_it() {
    let hub = TestHub::with(Settings { trusted_proxies: &["10.0.0.0/8"], ..Settings::default() }).await;
    let log = Log::capture();
    let send = async |id: Option<&str>| {
        let request = Request::post("/hub/api/users/alice/tokens")
            .header("authorization", format!("token {ALICE_TOKEN}"))
            .header("x-forwarded-for", "198.51.100.1, 203.0.113.7, 10.1.1.1");
        let request = id.into_iter().fold(request, |request, id| request.header("x-request-id", id));
        let answer = hub.send(request.body(Body::empty()).unwrap()).await;
        answer.header("x-request-id").to_owned()
    };
    let made_here = [send(None).await, send(Some("has \"quotes\"")).await];
    assert!(made_here.iter().all(|id| id.len() == 32) && made_here[0] != made_here[1], "{made_here:?}");
    assert_eq!(send(Some("of-the-proxy-1")).await, "of-the-proxy-1");
    for id in made_here.iter().map(String::as_str).chain(["of-the-proxy-1"]) {
        let of_request: Vec<_> = log.lines().into_iter().filter(|line| line.contains(&format!("\"{id}\""))).collect();
        let [audit, request] = of_request.as_slice() else { panic!("{of_request:?}") };
        assert!(audit.contains(&format!("address=\"203.0.113.7\" request_id=\"{id}\" outcome")), "{audit}");
        assert!(request.contains("POST /hub/api/users/alice/tokens"), "{request}");
    }
}

/// What a client calls its request is no name for it: the proxy makes one, which the hub takes.
#[tokio::test]
async fn the_proxy_names_requests_to_the_hub() {
    let hub = TestHub::new().await;
    hub.app.servers.check_routes().await.unwrap();
    let log = Log::capture();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let request = Request::get("/hub/api/user")
            .header("authorization", format!("token {ALICE_TOKEN}"))
            .header("x-request-id", "of-the-client");
        let answer = hub.send_to_proxy(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK);
        ids.push(answer.header("x-request-id").to_owned());
    }
    assert!(ids.iter().all(|id| id.len() == 16) && ids[0] != ids[1], "{ids:?}");
    let text = log.text();
    assert!(ids.iter().all(|id| text.contains(&format!("request_id=\"{id}\""))) && !text.contains("of-the-client"));
}
