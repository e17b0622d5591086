//! What the hub tells of itself, and to whom.

use axum::http::{Method, StatusCode};
use hub_crds::ClientRules;
use serde_json::json;

use crate::test_hub::{ADMIN_TOKEN, ALICE_TOKEN, Settings, TestHub};

#[tokio::test]
async fn metrics_are_for_those_who_may_read_them_attack_row_56() {
    let hub = TestHub::new().await;
    for path in ["/hub/metrics", "/hub/api/metrics"] {
        let by = async |token: &str| {
            let header = format!("token {token}");
            let headers = [("authorization", header.as_str())];
            hub.browser().request(Method::GET, path, &headers, None).await.status
        };
        assert_eq!(hub.browser().get(path).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(by(ALICE_TOKEN).await, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(by(ADMIN_TOKEN).await, StatusCode::OK, "{path}");
        let scopes = json!({"scopes": ["read:metrics"]});
        let made = hub.api(Method::POST, "/users/root/tokens", ADMIN_TOKEN, Some(scopes)).await.json();
        assert_eq!(by(made["token"].as_str().unwrap()).await, StatusCode::OK, "{path}");
        assert_eq!(hub.logged_in(ALICE_TOKEN).await.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    let clients = ClientRules { authenticate_prometheus: false, ..ClientRules::default() };
    let open = TestHub::with(Settings { clients, ..Settings::default() }).await;
    assert_eq!(open.browser().get("/hub/metrics").await.status, StatusCode::OK);
}

#[tokio::test]
async fn metrics_have_jupyterhubs_names_and_tell_of_nobody() {
    let hub = TestHub::new().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    hub.get("/users/alice?secret=1", ALICE_TOKEN).await;
    hub.get("/nothing/to/see", ALICE_TOKEN).await;
    hub.app.activity.save(&hub.app.database).await.unwrap();
    let strange = Method::from_bytes(b"STRANGE").unwrap();
    hub.browser().request(strange, "/hub/home", &[], None).await;
    let answer = hub.get("/metrics", ADMIN_TOKEN).await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let has = |line: &str| assert!(answer.text.lines().any(|l| l.starts_with(line)), "{line} in {}", answer.text);
    for line in [
        "jupyterhub_total_users 3",
        "jupyterhub_active_users{period=\"24h\"} 1",
        "jupyterhub_active_users{period=\"30d\"} 1",
        "jupyterhub_running_servers 1",
        "# TYPE jupyterhub_server_spawn_duration_seconds histogram",
        "jupyterhub_server_spawn_duration_seconds_count{status=\"success\",reason=\"\"} 1",
        "# TYPE jupyterhub_request_duration_seconds histogram",
        "jupyterhub_request_duration_seconds_count{method=\"GET\",handler=\"/hub/api/users/{name}\",code=\"200\"} 1",
        "jupyterhub_request_duration_seconds_bucket{method=\"GET\",handler=\"none\",code=\"404\",le=\"+Inf\"} 1",
        "jupyterhub_request_duration_seconds_sum{method=\"other\",handler=\"/hub/home\",code=\"405\"} ",
    ] {
        has(line);
    }
    for told in ["alice", "secret", "nothing", "STRANGE"] {
        assert!(!answer.text.contains(told), "{told}");
    }
}

/// Whoever asks whether the hub is well learns that it is, and nothing else.
#[tokio::test]
async fn health_tells_nothing_attack_row_56() {
    let hub = TestHub::new().await;
    for path in ["/hub/health", "/hub/api/health"] {
        for method in [Method::GET, Method::HEAD] {
            let answer = hub.browser().request(method.clone(), path, &[], None).await;
            assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""), "{method} {path}");
            assert_eq!((answer.header("set-cookie"), answer.header("server")), ("", ""));
        }
    }
    for path in
        ["/hub/debug", "/hub/debug/pprof", "/hub/api/debug", "/hub/env", "/hub/config", "/hub/static/", "/metrics"]
    {
        let answer = hub.browser().get(path).await;
        assert!(matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::FOUND), "{path} {}", answer.status);
    }
}
