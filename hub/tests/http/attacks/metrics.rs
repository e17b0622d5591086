//! What the hub tells of itself, and to whom.

use axum::http::{Method, StatusCode};
use hub_crds::ClientRules;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

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

/// What JupyterHub 6.1 exports from its own `metrics.py`, with the labels that are there from the start.
const JUPYTERHUBS: [(&str, &str, &str); 17] = [
    ("active_users", "gauge", "{period=\"7d\"} "),
    ("check_routes_duration_seconds", "histogram", "_count "),
    ("csp_reports_total", "counter", " "),
    ("event_loop_interval_seconds", "histogram", "_bucket{le=\"0.055\"} "),
    ("hub_startup_duration_seconds", "histogram", "_sum "),
    ("init_spawners_duration_seconds", "histogram", "_count "),
    ("login_duration_seconds", "histogram", "_count{status=\"failure\"} "),
    ("logout_duration_seconds", "histogram", "_count "),
    ("proxy_add_duration_seconds", "histogram", "_count{status=\"success\"} "),
    ("proxy_delete_duration_seconds", "histogram", "_count{status=\"failure\"} "),
    ("proxy_poll_duration_seconds", "histogram", "_bucket{le=\"0.005\"} "),
    ("request_duration_seconds", "histogram", "_count{method=\"GET\",handler=\"/hub/api/user\",code=\"200\"} "),
    ("running_servers", "gauge", " "),
    ("server_poll_duration_seconds", "histogram", "_count{status=\"running\"} "),
    ("server_spawn_duration_seconds", "histogram", "_count{status=\"failure\",reason=\"too-many-users\"} "),
    ("server_stop_seconds", "histogram", "_count{status=\"success\"} "),
    ("total_users", "gauge", " "),
];

#[tokio::test]
async fn every_metric_of_jupyterhub_6_is_there_with_its_type_and_labels() {
    let hub = TestHub::new().await;
    hub.get("/user", ALICE_TOKEN).await;
    let text = hub.get("/metrics", ADMIN_TOKEN).await.text;
    for (name, kind, series) in JUPYTERHUBS {
        assert_eq!(text.matches(&format!("# TYPE jupyterhub_{name} {kind}\n")).count(), 1, "{name} in {text}");
        let series = format!("jupyterhub_{name}{series}");
        assert!(text.lines().any(|line| line.starts_with(&series)), "{series} in {text}");
    }
}

#[tokio::test]
async fn what_happens_is_counted() {
    let hub = TestHub::new().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    hub.app.servers.check_routes().await.unwrap();
    let again = hub.api(Method::POST, "/users/alice/server", ALICE_TOKEN, None).await;
    assert_eq!(again.status, StatusCode::BAD_REQUEST);
    hub.stop_server("alice", ALICE_TOKEN).await;
    hub.browser().log_in("/hub/login", "", "a-token-of-nobody").await;
    let mut alice = hub.logged_in(ALICE_TOKEN).await;
    let report = json!({"csp-report": {"document-uri": "http://hub.test/"}}).to_string();
    alice.request(Method::POST, "/hub/security/csp-report", &[], Some(report)).await;
    alice.get("/hub/logout").await;
    let text = hub.get("/metrics", ADMIN_TOKEN).await.text;
    for line in [
        "jupyterhub_server_spawn_duration_seconds_count{status=\"success\",reason=\"\"} 1",
        "jupyterhub_server_spawn_duration_seconds_count{status=\"failure\",reason=\"already-pending\"} 1",
        "jupyterhub_server_stop_seconds_count{status=\"success\"} 1",
        "jupyterhub_proxy_add_duration_seconds_count{status=\"success\"} 1",
        "jupyterhub_proxy_delete_duration_seconds_count{status=\"success\"} 1",
        "jupyterhub_login_duration_seconds_count{status=\"success\"} 1",
        "jupyterhub_login_duration_seconds_count{status=\"failure\"} 1",
        "jupyterhub_logout_duration_seconds_count 1",
        "jupyterhub_csp_reports_total 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(!text.contains("jupyterhub_check_routes_duration_seconds_count 0\n"), "{text}");
}

/// A panel that asks for what nobody exports stays empty, and nobody notices.
#[tokio::test]
async fn the_dashboard_asks_only_for_what_is_exported() {
    const DASHBOARD: &str = include_str!("../../../../charts/hub-operator/dashboards/hubs.json");
    let hub = TestHub::new().await;
    let of_hub = hub.get("/metrics", ADMIN_TOKEN).await.text;
    let of_proxy = proxys_metrics().await;
    let is_exported = |name: &str| {
        let family = ["_bucket", "_count", "_sum"].into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        [&of_hub, &of_proxy].iter().any(|text| text.contains(&format!("# TYPE {family} ")))
    };
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut names: Vec<&str> = targets
        .flat_map(|target| target["expr"].as_str().unwrap().split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
        .filter(|word| ["jupyterhub_", "hub_", "requests_"].iter().any(|start| word.starts_with(start)))
        // The operator has a test of its own for these.
        .filter(|word| !word.starts_with("hub_operator_"))
        .collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 12, "{names:?}");
    assert_eq!(names.into_iter().filter(|name| !is_exported(name)).collect::<Vec<_>>(), [""; 0]);
}

/// What a proxy shows that has nothing to do.
async fn proxys_metrics() -> String {
    let config = hub_proxy::ProxyConfig {
        metrics: Some(hub_proxy::Bind::Tcp("127.0.0.1".to_owned(), 0)),
        ..hub_proxy::ProxyConfig::default()
    };
    let proxy = hub_proxy::bind(config).await.unwrap();
    let address = proxy.metrics_addr().unwrap().socket_addr().unwrap();
    let stop = CancellationToken::new();
    let _stops = stop.clone().drop_guard();
    tokio::spawn(proxy.run(stop));
    reqwest::get(format!("http://{address}/metrics")).await.unwrap().text().await.unwrap()
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
