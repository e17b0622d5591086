//! How tokens and sessions end together: revoked by an administrator (S34), by a reset of the cookie secret (S60, S68).

use axum::http::{Method, StatusCode};
use hub::{
    control,
    database::{RevokedCounts, Subject},
    resets::end_sessions_after_reset,
    revocation::Whose,
};
use serde_json::json;
use std::fs;

use crate::{
    oauth::{code, exchange},
    test_hub::{ADMIN_TOKEN, ALICE_TOKEN, BOB_TOKEN, TestHub},
};

/// A token of the API, of a user who logs in with this login token.
async fn token(hub: &TestHub, user: &str, login: &str) -> String {
    let made = hub.api(Method::POST, &format!("/users/{user}/tokens"), login, None).await;
    made.json()["token"].as_str().unwrap().to_owned()
}

async fn works(hub: &TestHub, token: &str) -> bool {
    hub.get("/user", token).await.status == StatusCode::OK
}

#[tokio::test]
async fn an_administrator_revokes_all_tokens_or_those_of_one_user_s34() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let (alice, bob, root) = (
        token(&hub, "alice", ALICE_TOKEN).await,
        token(&hub, "bob", BOB_TOKEN).await,
        token(&hub, "root", ADMIN_TOKEN).await,
    );

    for (path, token) in [("/users/bob/tokens", &alice), ("/tokens", &alice), ("/users/nobody/tokens", &bob)] {
        let refused = hub.api(Method::DELETE, path, token, None).await.status;
        assert!(matches!(refused, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND), "{path}: {refused}");
    }
    let revoked = hub.api(Method::DELETE, "/users/alice/tokens", &root, None).await;
    assert_eq!(revoked.json(), json!({"users": 2, "services": 0, "sessions": 0, "servers": 1, "links": 0}));
    assert!(!works(&hub, &alice).await && !works(&hub, &server["JUPYTERHUB_API_TOKEN"]).await);
    assert!(works(&hub, &bob).await && works(&hub, &root).await);

    let all = hub.api(Method::DELETE, "/tokens", &root, None).await;
    assert_eq!(all.json(), json!({"users": 2, "services": 0, "sessions": 0, "servers": 0, "links": 0}));
    assert!(!works(&hub, &bob).await && !works(&hub, &root).await);
    let again = hub.api(Method::DELETE, "/tokens", ADMIN_TOKEN, None).await;
    assert_eq!(again.json(), json!({"users": 0, "services": 0, "sessions": 0, "servers": 0, "links": 0}));
}

/// `hub token revoke` asks the running hub over its socket, which nobody else can reach (S34).
#[tokio::test]
async fn the_command_revokes_through_the_socket_of_the_running_hub() {
    use std::os::unix::fs::PermissionsExt;
    let hub = TestHub::new().await;
    let (alice, bob) = (token(&hub, "alice", ALICE_TOKEN).await, token(&hub, "bob", BOB_TOKEN).await);
    let socket = hub.path("control/hub.sock");
    let serving = tokio::spawn(control::serve(hub.app.clone(), control::listen(&socket).unwrap()));
    for path in [socket.parent().unwrap(), &socket] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
    }
    let counts = control::ask_to_revoke(&socket, &Whose::User("alice".into())).await.unwrap();
    assert_eq!(counts, RevokedCounts { users: 1, ..RevokedCounts::default() });
    assert!(!works(&hub, &alice).await && works(&hub, &bob).await);
    for (whose, message) in [
        (Whose::User("nobody".into()), "No such user: nobody"),
        (Whose::Service("nothing".into()), "No such service: nothing"),
    ] {
        assert_eq!(control::ask_to_revoke(&socket, &whose).await.unwrap_err().to_string(), message);
    }
    let counts = control::ask_to_revoke(&socket, &Whose::All).await.unwrap();
    assert_eq!(counts.users, 1);
    hub.app.stopping.cancel();
    serving.await.unwrap().unwrap();
    let unreachable = control::ask_to_revoke(&socket, &Whose::All).await.unwrap_err().to_string();
    assert!(unreachable.contains("failed to reach a hub") && unreachable.contains("--socket"), "{unreachable}");
}

#[tokio::test]
async fn a_directory_that_others_can_enter_gets_no_control_socket() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let refused = control::listen(&place.path().join("hub.sock")).unwrap_err().to_string();
    assert!(refused.contains("chmod 700"), "{refused}");
}

/// The hub's own cookie is void by its signature (S60); what servers hold from these logins ends in the database (S68).
#[tokio::test]
async fn another_cookie_secret_ends_every_session_but_no_api_token_s60_s68() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let code = code(&mut browser, &server).await;
    let answer = exchange(&hub, &server, &code, &[]).await.json();
    let session_token = answer["access_token"].as_str().unwrap().to_owned();
    let own = token(&hub, "alice", ALICE_TOKEN).await;
    assert!(works(&hub, &session_token).await);
    end_sessions_after_reset(&hub.app).await.unwrap();
    assert!(works(&hub, &session_token).await, "the secret is the same");

    fs::write(hub.path("cookie-secret"), "6c".repeat(32)).unwrap();
    end_sessions_after_reset(&hub.app).await.unwrap();
    assert!(!works(&hub, &session_token).await);
    assert!(works(&hub, &own).await && works(&hub, &server["JUPYTERHUB_API_TOKEN"]).await);
    assert!(browser.get("/hub/home").await.location().starts_with("/hub/login"));
}

/// RFC 6749 section 4.1.2, attack row 27.
#[tokio::test]
async fn a_code_that_comes_twice_ends_what_it_was_exchanged_for() {
    let hub = TestHub::new().await;
    let server = hub.start_server("alice", ALICE_TOKEN).await;
    let mut browser = hub.logged_in(ALICE_TOKEN).await;
    let code = code(&mut browser, &server).await;
    let first = exchange(&hub, &server, &code, &[]).await.json();
    let first = first["access_token"].as_str().unwrap().to_owned();
    assert!(works(&hub, &first).await);
    let second = exchange(&hub, &server, &code, &[]).await;
    assert_eq!((second.status, second.json()), (StatusCode::BAD_REQUEST, json!({"error": "invalid_grant"})));
    assert!(!works(&hub, &first).await);
}

/// Servers report often; what they report is shown at once and written in groups.
#[tokio::test]
async fn activity_is_shown_at_once_and_written_together() {
    let hub = TestHub::new().await;
    hub.start_server("alice", ALICE_TOKEN).await;
    let at = "2126-01-01T00:00:00.000000Z";
    let future = hub.api(Method::POST, "/users/alice/activity", ALICE_TOKEN, Some(json!({"last_activity": at}))).await;
    assert_eq!(future.status, StatusCode::BAD_REQUEST);
    let now = hub.app.now();
    let body = json!({"servers": {"": {"last_activity": format!("{now:.6}")}}, "last_activity": format!("{now:.6}")});
    let noted = hub.api(Method::POST, "/users/alice/activity", ALICE_TOKEN, Some(body)).await;
    assert_eq!((noted.status, noted.text.as_str()), (StatusCode::OK, ""));
    let alice = hub.get("/users/alice", ALICE_TOKEN).await.json();
    assert_eq!(alice["servers"][""]["last_activity"], format!("{now:.6}"));

    let user = hub.app.database.user_by_name("alice").await.unwrap().unwrap();
    hub.app.activity.save(&hub.app.database).await.unwrap();
    let row = hub.app.database.server(user.id, "").await.unwrap().unwrap();
    assert_eq!(format!("{:.6}", row.last_activity.unwrap()), format!("{now:.6}"));
    assert_eq!(hub.app.activity.latest(Subject::Server(row.id), None), None);
}
