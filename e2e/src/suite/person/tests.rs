//! The person against JupyterHub itself, which says whether it behaves as a browser does.
//!
//! ```sh
//! HUB_E2E_PEER=http://127.0.0.1:8000 cargo test -p e2e -- --ignored peer
//! ```
//! where JupyterHub 6 runs with the dummy authenticator, `allow_all`, its password in `HUB_E2E_PEER_PASSWORD`, and
//! servers that start without asking.

use std::env;

use super::*;

#[tokio::test]
#[ignore = "needs a JupyterHub: see above"]
async fn a_person_works_at_a_peer() {
    let base_url = env::var("HUB_E2E_PEER").expect("HUB_E2E_PEER names a JupyterHub");
    let password = env::var("HUB_E2E_PEER_PASSWORD").expect("HUB_E2E_PEER_PASSWORD is its password");
    let ada = Person::new("ada", &base_url).unwrap();
    assert!(!ada.is_logged_in().await.unwrap());
    let refused = ada.log_in_with_form("wrong").await.unwrap();
    assert_eq!((refused.status, refused.path()), (403, "/hub/login"));
    ada.log_in_with_form(&password).await.unwrap();
    assert!(ada.is_logged_in().await.unwrap());

    ada.stop_server().await.unwrap();
    let events = ada.start_server().await.unwrap();
    assert!(events.len() > 1, "{events:?}");
    assert_eq!(ada.server_state().await.unwrap(), ServerState::Ready);
    ada.open_lab().await.unwrap();
    let id = ada.start_kernel().await.unwrap();
    assert_eq!(ada.connect(&id).await.unwrap().run("6*7").await.unwrap(), "42");
    ada.write_file("e2e-peer.txt", "kept").await.unwrap();
    assert_eq!(ada.read_file("e2e-peer.txt").await.unwrap(), "kept");

    let grace = Person::new("grace", &base_url).unwrap();
    grace.log_in_with_form(&password).await.unwrap();
    assert_eq!(grace.visit("/user/ada/lab").await.unwrap().status, 403);

    ada.log_out().await.unwrap();
    assert!(!ada.is_logged_in().await.unwrap());
    assert_eq!(ada.visit("/user/ada/lab").await.unwrap().path(), "/hub/login");
}
