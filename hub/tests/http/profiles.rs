//! Profiles: who is offered which, and that nothing else can be started.

use axum::http::{Method, StatusCode};
use hub_crds::{Profile, ServerLimits};
use serde_json::{Value, json};

use crate::test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, Settings, TestHub};

fn profiles() -> Vec<Profile> {
    serde_json::from_value(json!([
        {"slug": "small", "displayName": "Small <i>", "description": "For <script>alert(1)</script> everybody"},
        {
            "slug": "gpu", "displayName": "GPU", "allowedGroups": ["ml"],
            "options": [{
                "slug": "image", "displayName": "Image",
                "choices": [{"slug": "torch", "displayName": "PyTorch"}, {"slug": "jax", "displayName": "JAX"}],
                "unlistedImage": {"displayName": "Another image", "prefixes": ["quay.io/jupyter/"]},
            }],
        },
    ]))
    .unwrap()
}

/// Alice is in the group of the GPUs, bob is not.
async fn hub_with(profiles: Vec<Profile>) -> TestHub {
    let limits = ServerLimits { allow_named_servers: true, ..ServerLimits::default() };
    let hub = TestHub::with(Settings { profiles, limits, ..Settings::default() }).await;
    let answer = hub.api(Method::POST, "/groups/ml", ADMIN_TOKEN, Some(json!({"users": ["alice"]}))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    hub
}

async fn user_options(hub: &TestHub, user: &str, server: &str) -> Value {
    let user = hub.get(&format!("/users/{user}?include_stopped_servers=1"), ADMIN_TOKEN).await.json();
    user["servers"][server]["user_options"].clone()
}

#[tokio::test]
async fn the_form_shows_what_a_person_may_choose_and_nothing_starts_before_row_52() {
    let hub = hub_with(profiles()).await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    let page = bob.get("/hub/spawn").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text.contains("name=\"profile\" value=\"small\" required checked"), "{}", page.text);
    assert!(!page.text.contains("gpu") && !page.text.contains("GPU"), "{}", page.text);
    assert!(!page.text.contains("<script>") && !page.text.contains("<i>"), "{}", page.text);

    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    let page = alice.get("/hub/spawn/alice/lab").await;
    for part in [
        "value=\"gpu\"",
        "name=\"profile-option-gpu--image\"",
        "value=\"unlisted-choice\"",
        "begins with quay.io/jupyter/",
    ] {
        assert!(page.text.contains(part), "{part}: {}", page.text);
    }
    assert_eq!(hub.get("/users/alice/server", ALICE_TOKEN).await.json()["stopped"], true);
}

#[tokio::test]
async fn what_a_form_sends_is_what_starts_and_is_chosen_again() {
    let hub = hub_with(profiles()).await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    alice.get("/hub/spawn").await;
    let chosen =
        [("profile", "gpu"), ("profile-option-gpu--image", "jax"), ("profile-option-gpu--image--unlisted-choice", "")];
    let answer = alice.submit("/hub/spawn?next=%2Fuser%2Falice%2Flab", &chosen).await;
    assert_eq!(answer.location(), "/hub/spawn-pending/alice?next=%2Fuser%2Falice%2Flab");
    hub.becomes_ready("alice", ALICE_TOKEN).await;
    assert_eq!(user_options(&hub, "alice", "").await, json!({"profile": "gpu", "image": "jax"}));
    hub.stop_server("alice", ALICE_TOKEN).await;
    // The next start without a word is like the last, and the form has it chosen.
    let page = alice.get("/hub/spawn").await;
    assert!(page.text.contains("value=\"gpu\" required checked"), "{}", page.text);
    assert!(page.text.contains("value=\"jax\" selected"), "{}", page.text);
    assert!(hub.api(Method::POST, "/users/alice/server", ALICE_TOKEN, None).await.status.is_success());
    hub.becomes_ready("alice", ALICE_TOKEN).await;
    assert_eq!(user_options(&hub, "alice", "").await, json!({"profile": "gpu", "image": "jax"}));
}

/// JupyterHub takes the options of a start from its address, too: a visit of one's own, and no other site's (row 40).
#[tokio::test]
async fn an_address_may_name_the_profile() {
    let hub = hub_with(profiles()).await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    let foreign = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
    let page = bob.request(Method::GET, "/hub/spawn?profile=small", &foreign, None).await;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(hub.get("/users/bob/server", BOB_TOKEN).await.json()["stopped"], true);
    assert_eq!(bob.get("/hub/spawn?profile=gpu").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(bob.get("/hub/spawn?profile=small").await.location(), "/hub/spawn-pending/bob");
}

#[tokio::test]
async fn a_forged_choice_is_refused_by_the_form_and_by_the_api_row_52() {
    let hub = hub_with(profiles()).await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    bob.get("/hub/home").await;
    for fields in [
        [("profile", "gpu"), ("profile-option-gpu--image", "torch")],
        [("profile", "nothing"), ("x", "y")],
        [("profile", "{username}"), ("x", "y")],
        [("profile", "<script>alert(1)</script>"), ("x", "y")],
    ] {
        let answer = bob.submit("/hub/spawn", &fields).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert!(answer.text.contains("role=\"alert\">No such profile: "), "{}", answer.text);
        assert!(answer.text.contains("Options include: small</p>"), "{}", answer.text);
        assert!(!answer.text.contains("<script>alert"), "{}", answer.text);
    }
    for body in [
        json!({"profile": "gpu"}),
        json!({"user_options": {"profile": "gpu"}}),
        json!({"profile": ["small", "gpu"]}),
        json!({"user_options": {"profile": {"slug": "small", "overrides": {"image": "evil"}}}}),
    ] {
        let answer = hub.api(Method::POST, "/users/bob/server", BOB_TOKEN, Some(body.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.starts_with("No such profile: ") && message.ends_with("Options include: small"), "{message}");
    }
    for options in [
        json!({"profile": "gpu", "image": "evil/image"}),
        json!({"profile": "gpu", "image--unlisted-choice": "evil.example/image"}),
        json!({"profile": "gpu", "image": {"image": "evil"}}),
    ] {
        let answer = hub.api(Method::POST, "/users/alice/server", ALICE_TOKEN, Some(options.clone())).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{options}");
    }
    // Whose server it is decides: an administrator can't put bob's onto a GPU either.
    let answer = hub.api(Method::POST, "/users/bob/server", ADMIN_TOKEN, Some(json!({"profile": "gpu"}))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(hub.app.servers.active().is_empty());
}

/// What was kept of an old start is held against what the person may choose now.
#[tokio::test]
async fn who_has_left_a_group_does_not_start_its_profile_again_row_52() {
    let hub = hub_with(profiles()).await;
    let gpu = json!({"display_name": "Lab", "user_options": {"profile": "gpu"}});
    assert_eq!(
        hub.api(Method::PUT, "/users/alice/servers/lab", ALICE_TOKEN, Some(gpu)).await.status,
        StatusCode::CREATED
    );
    let members = Some(json!({"users": ["alice"]}));
    assert_eq!(hub.api(Method::DELETE, "/groups/ml/users", ADMIN_TOKEN, members).await.status, StatusCode::OK);
    let answer = hub.api(Method::POST, "/users/alice/servers/lab", ALICE_TOKEN, None).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    // The form offers what is left.
    let page = hub.logged_in(ALICE_TOKEN).await.get("/hub/spawn/alice/lab").await;
    assert!(page.text.contains("value=\"small\" required checked"), "{}", page.text);
    assert!(hub.app.servers.active().is_empty());
}

#[tokio::test]
async fn who_may_choose_nothing_is_told_so() {
    let hub = hub_with(profiles().split_off(1)).await;
    let mut bob = hub.logged_in(BOB_TOKEN).await;
    let page = bob.get("/hub/spawn").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert!(page.text.contains("Ask your administrator") && !page.text.contains("id=\"start\""), "{}", page.text);
    let answer = hub.api(Method::POST, "/users/bob/server", BOB_TOKEN, None).await;
    assert_eq!(
        (answer.status, answer.json()["message"].as_str().unwrap()),
        (StatusCode::BAD_REQUEST, "There is no profile that you may choose; ask your administrator for one")
    );
}
