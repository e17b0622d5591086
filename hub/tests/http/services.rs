//! Services, roles, groups and custom scopes: from the settings, over the REST API, and in people's browsers.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use hub_crds::config::RbacConfig;
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, time::Duration};
use url::form_urlencoded;

use crate::{
    browser::Answer,
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub},
};

const GRADES_TOKEN: &str = "grades-token-1234";
const BOSS_TOKEN: &str = "boss-token-1234";
const PLAIN_TOKEN: &str = "plain-token-1234";

/// The settings that JupyterHub's own answers below were taken with.
const RBAC: &str = "
services:
- { name: grades, url: 'http://127.0.0.1:9999', display: true, oauthClientAllowedScopes: ['custom:grades:read'], info: { a: b } }
- { name: boss, admin: true, display: true }
- { name: plain, display: true }
roles:
- name: grader
  description: Grades
  scopes: ['custom:grades:write', 'read:users:name', 'access:services!service=grades']
  users: [bob]
  groups: [staff]
  services: [grades]
- { name: svcadmin, scopes: ['admin:services', self], users: [carol] }
- { name: lister, scopes: ['list:services!service=plain'], users: [dave] }
groups: [{ name: staff, users: [Erin], properties: { k: v } }]
customScopes:
- { name: 'custom:grades:read', description: Read grades }
- { name: 'custom:grades:write', description: Write grades, subscopes: ['custom:grades:read'] }
";

fn rbac(text: &str) -> RbacConfig {
    let config: RbacConfig = serde_yaml::from_str(text).unwrap();
    assert_eq!(config.problems(), []);
    config
}

fn settings() -> Settings {
    Settings {
        rbac: rbac(RBAC),
        service_tokens: &[("grades", GRADES_TOKEN), ("boss", BOSS_TOKEN), ("plain", PLAIN_TOKEN)],
        ..Settings::default()
    }
}

async fn hub() -> TestHub {
    TestHub::with(settings()).await
}

/// A token of a user whom only the settings' lists of users know.
async fn token_of(hub: &TestHub, user: &str) -> String {
    let made = hub.api(Method::POST, &format!("/users/{user}/tokens"), ADMIN_TOKEN, None).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    made.json()["token"].as_str().unwrap().to_owned()
}

async fn post(hub: &TestHub, service: &str, token: &str, body: Value) -> Answer {
    hub.api(Method::POST, &format!("/services/{service}"), token, Some(body)).await
}

fn told(answer: &Answer) -> (StatusCode, String) {
    let message = answer.json()["message"].as_str().unwrap_or_default().to_owned();
    (answer.status, message)
}

#[tokio::test]
async fn services_of_the_settings_are_listed_as_jupyterhub_lists_them() {
    let hub = hub().await;
    let service = |name: &str, admin: bool, url: &str, prefix: &str, info: Value, roles: Value| {
        json!({
            "kind": "service", "name": name, "admin": admin, "url": url, "prefix": prefix, "command": [], "pid": 0,
            "info": info, "display": true, "roles": roles,
        })
    };
    let grades =
        service("grades", false, "http://127.0.0.1:9999", "/services/grades/", json!({"a": "b"}), json!(["grader"]));
    let expected = json!({
        "grades": grades,
        "boss": service("boss", true, "", "", json!({}), json!(["admin"])),
        "plain": service("plain", false, "", "", json!({}), json!([])),
    });
    assert_eq!(hub.get("/services", ADMIN_TOKEN).await.json(), expected);
    assert_eq!(hub.get("/services/grades", ADMIN_TOKEN).await.json(), grades);
    let unknown = hub.get("/services/none", ADMIN_TOKEN).await;
    assert_eq!(told(&unknown), (StatusCode::NOT_FOUND, "No such service: none".into()));
    assert_eq!(hub.get("/services", "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn scopes_decide_what_is_seen_of_services() {
    let hub = hub().await;
    let requires = "Action is not authorized with current scopes; requires any of ";
    let lacking = hub.get("/services", ALICE_TOKEN).await;
    assert_eq!(told(&lacking), (StatusCode::FORBIDDEN, format!("{requires}[list:services]")));
    let lacking = hub.get("/services/grades", ALICE_TOKEN).await;
    let scopes = "[read:services, read:services:name, read:roles:services]";
    assert_eq!(told(&lacking), (StatusCode::FORBIDDEN, format!("{requires}{scopes}")));

    let dave = token_of(&hub, "dave").await;
    let plain = json!({"kind": "service", "name": "plain", "admin": false});
    assert_eq!(hub.get("/services", &dave).await.json(), json!({"plain": plain}));
    assert_eq!(hub.get("/services/plain", &dave).await.json(), plain);
    for name in ["grades", "none"] {
        let hidden = hub.get(&format!("/services/{name}"), &dave).await;
        let message = "No access to resources or resources not found".to_owned();
        assert_eq!(told(&hidden), (StatusCode::NOT_FOUND, message), "{name}");
    }
}

#[tokio::test]
async fn a_service_learns_who_it_is_and_what_it_may_do() {
    let hub = hub().await;
    let grades = hub.get("/user", GRADES_TOKEN).await.json();
    let scopes = ["access:services!service=grades", "custom:grades:read", "custom:grades:write", "read:users:name"];
    assert_eq!(
        grades,
        json!({
            "kind": "service", "name": "grades", "admin": false, "token_id": grades["token_id"], "session_id": null,
            "scopes": scopes,
        })
    );
    assert!(grades["token_id"].as_str().unwrap().starts_with('a'));
    let plain = hub.get("/user", PLAIN_TOKEN).await.json();
    assert_eq!((&plain["name"], &plain["scopes"]), (&json!("plain"), &json!([])));
    let boss = hub.get("/user", BOSS_TOKEN).await.json();
    assert_eq!((&boss["admin"], &boss["roles"], &boss["pid"]), (&json!(true), &json!(["admin"]), &json!(0)));
    assert_eq!(hub.get("/users/bob", BOSS_TOKEN).await.json()["roles"], json!(["grader", "user"]));
    assert_eq!(
        hub.get("/users/bob", GRADES_TOKEN).await.json(),
        json!({
            "kind": "user", "name": "bob", "admin": false, "user_info": null,
        })
    );
    assert_eq!(hub.get("/services", GRADES_TOKEN).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn roles_and_groups_of_the_settings_give_users_their_rights() {
    let hub = hub().await;
    let scopes = async |user: &str| hub.get("/user", &token_of(&hub, user).await).await.json()["scopes"].to_string();
    for user in ["bob", "erin"] {
        assert!(scopes(user).await.contains("custom:grades:write"), "{user}");
    }
    assert!(!hub.get("/user", ALICE_TOKEN).await.text.contains("custom:"));
    let erin = hub.get("/users/erin", ADMIN_TOKEN).await.json();
    assert_eq!((&erin["groups"], &erin["roles"]), (&json!(["staff"]), &json!(["user"])));
}

#[tokio::test]
async fn only_declared_custom_scopes_exist() {
    let hub = hub().await;
    let make = |scope: &str| hub.api(Method::POST, "/users/bob/tokens", BOB_TOKEN, Some(json!({"scopes": [scope]})));
    let made = make("custom:grades:read").await;
    assert_eq!((made.status, made.json()["scopes"][0].as_str()), (StatusCode::CREATED, Some("custom:grades:read")));
    let unknown = told(&make("custom:grades:delete").await);
    assert_eq!(unknown, (StatusCode::BAD_REQUEST, "Scope 'custom:grades:delete' does not exist".into()));
    let others =
        hub.api(Method::POST, "/users/alice/tokens", ALICE_TOKEN, Some(json!({"scopes": ["custom:grades:read"]})));
    assert_eq!(others.await.status, StatusCode::BAD_REQUEST, "alice does not have it");
}

#[tokio::test]
async fn what_leaves_the_settings_loses_its_rights_at_once() {
    let hub = hub().await;
    let bob = token_of(&hub, "bob").await;
    assert!(hub.get("/user", &bob).await.text.contains("custom:grades:write"));
    let runtime = post(&hub, "runtime", ADMIN_TOKEN, json!({"api_token": "runtime-token", "info": {"x": 1}})).await;
    assert_eq!(runtime.status, StatusCode::CREATED, "{}", runtime.text);

    let less = "
services: [{ name: boss, display: true }]
roles: [{ name: lister, scopes: ['list:services'], services: [boss] }]";
    let hub = hub
        .restarted(Settings { rbac: rbac(less), service_tokens: &[("boss", BOSS_TOKEN)], ..Settings::default() })
        .await;
    assert_eq!(hub.get("/user", GRADES_TOKEN).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.get("/user", &bob).await.json()["scopes"].to_string().matches("custom:").count(), 0);
    let boss = hub.get("/user", BOSS_TOKEN).await.json();
    assert_eq!((&boss["admin"], &boss["scopes"]), (&json!(false), &json!(["list:services", "read:services:name"])));
    assert_eq!(hub.get("/users/bob", ADMIN_TOKEN).await.json()["roles"], json!(["user"]));
    assert_eq!(hub.get("/user", "runtime-token").await.json()["name"], "runtime", "it was made over the API");
    assert_eq!(hub.get("/services/runtime", ADMIN_TOKEN).await.json()["info"], json!({"x": 1}));

    let hub = hub.restarted(Settings::default()).await;
    assert_eq!(hub.get("/user", BOSS_TOKEN).await.status, StatusCode::FORBIDDEN);
    let left = hub.get("/services", ADMIN_TOKEN).await.json();
    assert_eq!(left.as_object().unwrap().keys().collect::<Vec<_>>(), ["runtime"]);
}

/// Whoever made a service over the API must not get what the settings later give to its name.
#[tokio::test]
async fn a_service_of_the_settings_takes_the_place_of_one_made_over_the_api() {
    let hub = TestHub::new().await;
    post(&hub, "grades", ADMIN_TOKEN, json!({"api_token": "a-strangers-token"})).await;
    assert_eq!(hub.get("/user", "a-strangers-token").await.status, StatusCode::OK);
    let hub = hub.restarted(settings()).await;
    assert_eq!(hub.get("/user", "a-strangers-token").await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.get("/user", GRADES_TOKEN).await.json()["name"], "grades");
}

#[tokio::test]
async fn a_rotated_token_is_taken_up_without_a_restart_and_the_old_one_is_good_no_more() {
    let hub = hub().await;
    let (client, browser_token) =
        (oauth("grades", GRADES_TOKEN), person_lets_in(&hub, ADMIN_TOKEN, "grades", GRADES_TOKEN).await);
    fs::write(hub.path("grades-token"), "another-token-for-grades\n").unwrap();
    for _ in 0..100 {
        if hub.get("/user", "another-token-for-grades").await.status == StatusCode::OK {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(hub.get("/user", "another-token-for-grades").await.json()["name"], "grades");
    assert_eq!(hub.get("/user", GRADES_TOKEN).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.get("/user", &browser_token).await.status, StatusCode::OK, "what browsers have goes on");
    let refused = exchange(&hub, &client, "any-code").await;
    assert_eq!(refused.json()["error"], "invalid_client");
    let client = oauth("grades", "another-token-for-grades");
    assert_eq!(exchange(&hub, &client, "any-code").await.json()["error"], "invalid_grant");
}

#[tokio::test]
async fn services_are_made_and_deleted_over_the_api() {
    let hub = hub().await;
    let body = json!({
        "url": "http://127.0.0.1:9998", "api_token": "rt-token-12345678", "info": {"x": 1},
        "oauth_client_allowed_scopes": ["self"],
    });
    let made = post(&hub, "rt", ADMIN_TOKEN, body).await;
    let expected = json!({
        "kind": "service", "name": "rt", "admin": false, "url": "http://127.0.0.1:9998", "prefix": "/services/rt/",
        "command": [], "pid": 0, "info": {"x": 1}, "display": true, "roles": [],
    });
    assert_eq!((made.status, made.json()), (StatusCode::CREATED, expected.clone()));
    assert_eq!(hub.get("/services/rt", ADMIN_TOKEN).await.json(), expected);
    assert_eq!(hub.get("/user", "rt-token-12345678").await.json()["name"], "rt");
    let again = post(&hub, "rt", ADMIN_TOKEN, json!({})).await;
    assert_eq!(told(&again), (StatusCode::CONFLICT, "Service rt already exists".into()));
    let again = post(&hub, "grades", ADMIN_TOKEN, json!({})).await;
    assert_eq!(told(&again), (StatusCode::CONFLICT, "Service grades already exists".into()));

    let delete =
        async |name: &str, token: &str| hub.api(Method::DELETE, &format!("/services/{name}"), token, None).await;
    let configured = delete("grades", ADMIN_TOKEN).await;
    let message = "Service grades is not modifiable at runtime".to_owned();
    assert_eq!(told(&configured), (StatusCode::METHOD_NOT_ALLOWED, message));
    let unknown = delete("none", ADMIN_TOKEN).await;
    assert_eq!(told(&unknown), (StatusCode::NOT_FOUND, "Service none does not exist".into()));
    assert_eq!(delete("rt", ALICE_TOKEN).await.status, StatusCode::FORBIDDEN);
    let patch = hub.api(Method::PATCH, "/services/rt", ADMIN_TOKEN, Some(json!({}))).await;
    assert_eq!(patch.status, StatusCode::METHOD_NOT_ALLOWED);
    let deleted = delete("rt", ADMIN_TOKEN).await;
    assert_eq!((deleted.status, deleted.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(hub.get("/services/rt", ADMIN_TOKEN).await.status, StatusCode::NOT_FOUND);
    assert_eq!(hub.get("/user", "rt-token-12345678").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn wrong_services_are_refused_and_leave_nothing() {
    let hub = hub().await;
    for (body, message) in [
        (json!({}), "Invalid service data"),
        (json!([]), "Invalid service data"),
        (json!({"bad": 1}), "Invalid JSON keys: bad"),
        (json!({"admin": "yes"}), "service.admin must be a boolean"),
        (json!({"command": ["x"]}), "Can not create managed service wrong at runtime"),
        (json!({"url": "ftp://x"}), "Failed to create service wrong: its url must start with http:// or https://"),
        (json!({"oauth_no_confirm": true}), "Failed to create service wrong: it has OAuth configured"),
        (
            json!({"oauth_client_id": "x", "oauth_redirect_uri": "http://x/cb"}),
            "Failed to create service wrong: its oauth_client_id must start with 'service-'",
        ),
        (
            json!({"oauth_client_id": "service-grades", "oauth_redirect_uri": "http://x/cb"}),
            "Failed to create service wrong: its oauth_client_id is another service's",
        ),
        (json!({"api_token": "short"}), "Failed to create service wrong: its api_token must have 8 to 64 characters"),
        (json!({"api_token": GRADES_TOKEN}), "Failed to create service wrong: its api_token is in use"),
        (json!({"oauth_client_allowed_scopes": ["nope"]}), "Scope 'nope' does not exist"),
    ] {
        let refused = post(&hub, "wrong", ADMIN_TOKEN, body.clone()).await;
        let (status, text) = told(&refused);
        assert!(status == StatusCode::BAD_REQUEST && text.starts_with(message), "{body}: {status} {text}");
        assert_eq!(hub.get("/services/wrong", ADMIN_TOKEN).await.status, StatusCode::NOT_FOUND, "{body}");
    }
    for name in ["%20edge", "e%252fe", ".."] {
        let refused = post(&hub, name, ADMIN_TOKEN, json!({"display": true})).await;
        assert!(refused.status.is_client_error(), "{name}: {}", refused.status);
    }
    assert_eq!(hub.get("/services", ADMIN_TOKEN).await.json().as_object().unwrap().len(), 3);
}

/// Attack rows 45, 46 and 54: nobody gives a service what they don't have, and a token no more than itself.
#[tokio::test]
async fn a_service_gets_no_right_that_its_maker_lacks() {
    let hub = hub().await;
    let carol = token_of(&hub, "carol").await;
    let limited = hub
        .api(Method::POST, "/users/root/tokens", ADMIN_TOKEN, Some(json!({"scopes": ["admin:services"]})))
        .await
        .json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    for (token, maker) in [(&carol, "User carol"), (&limited, "User root")] {
        for (body, lacking) in [
            (json!({"admin": true}), "admin:users"),
            (json!({"oauth_client_allowed_scopes": ["read:hub"]}), "read:hub"),
            (json!({"oauth_client_allowed_scopes": ["inherit"]}), "admin:users"),
        ] {
            let refused = post(&hub, "evil", token, body.clone()).await;
            let (status, text) = told(&refused);
            assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {text}");
            assert!(text.starts_with("Not assigning requested scopes ") && text.contains(lacking), "{body}: {text}");
            assert!(text.ends_with(&format!(" not held by {maker}")), "{text}");
        }
    }
    let near = post(&hub, "evil", &carol, json!({"url": "http://127.0.0.1:8001"})).await;
    assert_eq!(told(&near).0, StatusCode::BAD_REQUEST, "{}", near.text);
    let fine =
        post(&hub, "fine", &carol, json!({"url": "http://10.0.0.7:80", "oauth_client_allowed_scopes": ["self"]})).await;
    assert_eq!(fine.status, StatusCode::CREATED, "{}", fine.text);
    assert_eq!(post(&hub, "evil", ALICE_TOKEN, json!({"display": true})).await.status, StatusCode::FORBIDDEN);
    let admin = post(&hub, "adm", ADMIN_TOKEN, json!({"admin": true, "api_token": "adm-token-12345678"})).await;
    assert_eq!(admin.json()["roles"], json!(["admin"]));
    assert_eq!(hub.get("/users/bob", "adm-token-12345678").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_proxy_leads_to_services_that_have_a_url() {
    let hub = hub().await;
    let route = |name: &str, port: u16| {
        json!({
            "routespec": format!("/services/{name}/"), "target": format!("http://127.0.0.1:{port}"),
            "data": {"service": name, "jupyterhub": true},
        })
    };
    assert_eq!(hub.api(Method::POST, "/proxy", ADMIN_TOKEN, None).await.status, StatusCode::OK);
    let services = async || {
        let table = hub.get("/proxy", ADMIN_TOKEN).await.json();
        let routes = table.as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/services/"));
        routes.map(|(path, route)| (path.clone(), route.clone())).collect::<BTreeMap<_, _>>()
    };
    let grades = ("/services/grades/".to_owned(), route("grades", 9999));
    assert_eq!(services().await, BTreeMap::from([grades.clone()]));
    post(&hub, "rt", ADMIN_TOKEN, json!({"url": "http://127.0.0.1:9998/path"})).await;
    assert_eq!(services().await, BTreeMap::from([grades.clone(), ("/services/rt/".to_owned(), route("rt", 9998))]));
    hub.api(Method::DELETE, "/services/rt", ADMIN_TOKEN, None).await;
    assert_eq!(services().await, BTreeMap::from([grades]));
}

#[tokio::test]
async fn the_home_page_lists_the_services_that_one_may_use() {
    let hub = hub().await;
    let link = "href=\"/services/grades/\"";
    assert!(hub.logged_in(BOB_TOKEN).await.get("/hub/home").await.text.contains(link));
    assert!(!hub.logged_in(ALICE_TOKEN).await.get("/hub/home").await.text.contains("/services/"));
    post(&hub, "hidden", ADMIN_TOKEN, json!({"url": "http://127.0.0.1:9998", "display": false})).await;
    let page = hub.logged_in(ADMIN_TOKEN).await.get("/hub/home").await.text;
    assert!(page.contains(link) && !page.contains("hidden") && !page.contains("boss"), "{page}");
}

/// A service as a client of the OAuth provider.
struct Client {
    id: String,
    secret: String,
    redirect_uri: String,
}

fn oauth(service: &str, secret: &str) -> Client {
    let redirect_uri = format!("/services/{service}/oauth_callback");
    Client { id: format!("service-{service}"), secret: secret.to_owned(), redirect_uri }
}

fn authorize(client: &Client, more: &[(&str, &str)]) -> String {
    let fields = [
        ("client_id", client.id.as_str()),
        ("redirect_uri", &client.redirect_uri),
        ("response_type", "code"),
        ("state", "S"),
    ];
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).extend_pairs(more).finish();
    format!("/hub/api/oauth2/authorize?{query}")
}

/// The fields of the address that a browser is sent to.
fn sent_back(answer: &Answer, client: &Client) -> BTreeMap<String, String> {
    let location = answer.location();
    let query = location.strip_prefix(&format!("{}?", client.redirect_uri)).unwrap_or_else(|| panic!("{location}"));
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

async fn exchange(hub: &TestHub, client: &Client, code: &str) -> Answer {
    let fields = [
        ("client_id", client.id.as_str()),
        ("client_secret", &client.secret),
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &client.redirect_uri),
    ];
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let request = Request::post("/hub/api/oauth2/token").header("content-type", "application/x-www-form-urlencoded");
    hub.send(request.body(Body::from(body)).unwrap()).await
}

/// The token that a service gets when a person lets it have all that it asks for.
async fn person_lets_in(hub: &TestHub, person: &str, service: &str, secret: &str) -> String {
    let client = oauth(service, secret);
    let mut browser = hub.logged_in(person).await;
    let address = authorize(&client, &[]);
    let page = browser.get(&address).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let answer = browser.submit(&address, &[("scopes", "custom:grades:read")]).await;
    let token = exchange(hub, &client, &sent_back(&answer, &client)["code"]).await;
    assert_eq!(token.status, StatusCode::OK, "{}", token.text);
    token.json()["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_person_lets_a_service_in_after_being_asked_and_logout_ends_that_s65() {
    let hub = hub().await;
    let client = oauth("grades", GRADES_TOKEN);
    let mut browser = hub.logged_in(BOB_TOKEN).await;
    let session = browser.cookie("jupyterhub-session-id").unwrap().to_owned();
    let page = browser.get(&authorize(&client, &[])).await;
    assert!(page.text.contains("JupyterHub service grades") && page.text.contains("Read grades"), "{}", page.text);
    assert!(page.text.contains("value=\"access:services!service=grades\""), "{}", page.text);

    let answer = browser.submit(&authorize(&client, &[]), &[("scopes", "custom:grades:read")]).await;
    let token = exchange(&hub, &client, &sent_back(&answer, &client)["code"]).await.json();
    let token = token["access_token"].as_str().unwrap().to_owned();
    let user = hub.get("/user", &token).await.json();
    let scopes = [
        "access:services!service=grades",
        "custom:grades:read",
        "read:users:groups!user=bob",
        "read:users:name!user=bob",
    ];
    assert_eq!((&user["name"], &user["scopes"], &user["session_id"]), (&json!("bob"), &json!(scopes), &json!(session)));

    let again = browser.get(&authorize(&client, &[])).await;
    assert!(sent_back(&again, &client).contains_key("code"), "what was granted before is not asked about again");
    browser.get("/hub/logout").await;
    assert_eq!(hub.get("/user", &token).await.status, StatusCode::FORBIDDEN);
    assert_eq!(hub.get("/user", GRADES_TOKEN).await.status, StatusCode::OK);
}

#[tokio::test]
async fn nothing_but_who_it_is_goes_to_a_service_if_all_is_unchecked() {
    let hub = hub().await;
    let client = oauth("grades", GRADES_TOKEN);
    let mut browser = hub.logged_in(BOB_TOKEN).await;
    browser.get(&authorize(&client, &[])).await;
    let answer = browser.submit(&authorize(&client, &[]), &[]).await;
    let token = exchange(&hub, &client, &sent_back(&answer, &client)["code"]).await.json();
    let user = hub.get("/user", token["access_token"].as_str().unwrap()).await.json();
    assert!(!user["scopes"].to_string().contains("custom:"), "{user}");
    assert!(user["scopes"].to_string().contains("access:services!service=grades"), "{user}");
}

#[tokio::test]
async fn only_who_may_use_a_service_gets_a_code_for_it() {
    let hub = hub().await;
    let client = oauth("grades", GRADES_TOKEN);
    let refused = hub.logged_in(ALICE_TOKEN).await.get(&authorize(&client, &[])).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused.text.contains("You do not have permission to access JupyterHub service grades"),
        "{}",
        refused.text
    );
    for id in ["service-boss", "service-none", "jupyterhub"] {
        let client = Client { id: id.into(), ..oauth("grades", GRADES_TOKEN) };
        let unknown = hub.logged_in(ADMIN_TOKEN).await.get(&authorize(&client, &[])).await;
        assert_eq!(unknown.status, StatusCode::BAD_REQUEST, "{id}");
    }
}

#[tokio::test]
async fn a_service_asks_for_no_more_than_it_may_by_scope_or_by_role() {
    let hub = hub().await;
    let client = oauth("grades", GRADES_TOKEN);
    let mut browser = hub.logged_in(BOB_TOKEN).await;
    for scope in ["self", "custom:grades:write", "nope", "custom:nope:x", "grader", "access:services!service=plain"] {
        let answer = browser.get(&authorize(&client, &[("scope", scope)])).await;
        let fields = sent_back(&answer, &client);
        assert_eq!(fields.get("error").map(String::as_str), Some("invalid_scope"), "{scope}");
    }
    for scope in ["custom:grades:read", "identify", "access:services!service", "access:services!service=grades"] {
        assert_eq!(browser.get(&authorize(&client, &[("scope", scope)])).await.status, StatusCode::OK, "{scope}");
    }
}

#[tokio::test]
async fn nobody_is_asked_about_a_service_that_says_so() {
    let rbac = rbac(
        "
services: [{ name: part, url: 'http://127.0.0.1:9999', oauthNoConfirm: true, oauthClientId: service-of-ours }]
roles: [{ name: user, scopes: [self, 'access:services!service=part'] }]",
    );
    let hub =
        TestHub::with(Settings { rbac, service_tokens: &[("part", "part-token-1234")], ..Settings::default() }).await;
    let client = Client { id: "service-of-ours".into(), ..oauth("part", "part-token-1234") };
    let answer = hub.logged_in(ALICE_TOKEN).await.get(&authorize(&client, &[])).await;
    let token = exchange(&hub, &client, &sent_back(&answer, &client)["code"]).await;
    let user = hub.get("/user", token.json()["access_token"].as_str().unwrap()).await.json();
    assert_eq!(user["name"], "alice");
    assert!(user["scopes"].to_string().contains("access:services!service=part"), "{user}");
}

/// The role of servers' tokens may be given other scopes.
#[tokio::test]
async fn roles_that_every_hub_has_may_be_given_other_scopes() {
    let rbac = rbac(
        "
roles:
- { name: server, scopes: ['read:users:name', 'access:servers!server'] }
- { name: admin, users: [bob] }",
    );
    let hub = TestHub::with(Settings { rbac, ..Settings::default() }).await;
    let names = async |token: &str| hub.get("/user", token).await.json()["scopes"].to_string();
    assert_eq!(hub.get("/users/bob", ADMIN_TOKEN).await.json()["admin"], true, "and root, as the other lists say");
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let scopes = names(&server["JUPYTERHUB_API_TOKEN"]).await;
    assert!(
        scopes.contains("access:servers!server=alice/") && scopes.contains("users:activity!user=alice"),
        "{scopes}"
    );
    assert!(scopes.contains("read:users:name!user=alice"), "only what alice has: {scopes}");
}
