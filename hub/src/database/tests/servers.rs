//! Servers: what a start stores, what a stop takes away, and what a hub that restarts finds.

use super::*;
use hub_auth::scopes::{Groups, Resource};
use serde_json::json;

pub(super) const SERVER_TOKEN: &str = "feedfacefeedfacefeedfacefeedface";

/// Starts a server whose token is [`SERVER_TOKEN`].
pub(super) async fn start(database: &Database, user: &User, name: &str) -> ServerRow {
    let (token, user_options) = (secret(SERVER_TOKEN), json!({"image": "x"}));
    let redirect_uri = hub_auth::names::server_path("/", &user.name, name) + "oauth_callback";
    let start = ServerStart {
        user,
        name,
        base_url: "/",
        user_options: &user_options,
        token: &token,
        redirect_uri: &redirect_uri,
    };
    database.start_server(start, now()).await.unwrap()
}

#[tokio::test]
async fn a_start_stores_all_that_the_server_needs() {
    let (database, alice) = with_alice().await;
    let row = start(&database, &alice, "s1").await;
    assert_eq!((row.user.as_str(), row.name.as_str(), row.active, row.address.clone()), ("alice", "s1", true, None));
    assert_eq!((row.started, row.user_options.clone()), (Some(now()), json!({"image": "x"})));

    let client = database.oauth_client("jupyterhub-user-alice+s1").await.unwrap().unwrap();
    assert_eq!(client.redirect_uri, "/user/alice/s1/oauth_callback");
    assert_eq!(client.allowed_scopes, ["access:servers!server=alice/s1"]);
    let target = ClientTarget::Server { user_id: alice.id, user: "alice".into(), server: "s1".into() };
    assert_eq!(client.target, Some(target));
    assert!(client.is_server_of(&alice) && client.verify_secret(SERVER_TOKEN).await.unwrap());

    let token = database.find_token(SERVER_TOKEN, now()).await.unwrap().unwrap();
    assert_eq!(token.note.as_deref(), Some("Server at /user/alice/s1/"));
    let (_, scopes) = database.token_scopes(&token).await.unwrap().unwrap();
    let none = Groups::default();
    assert!(scopes.allow("users:activity", Some(Resource::user("alice")), &none));
    assert!(scopes.allow("access:servers", Some(Resource::server("alice/s1")), &none));
    assert!(!scopes.allow("access:servers", Some(Resource::server("alice/")), &none));
    assert!(!scopes.holds("servers"));
}

#[tokio::test]
async fn a_browsers_token_of_a_server_identifies_and_enters_it() {
    let (database, alice) = with_alice().await;
    let client_id = start(&database, &alice, "").await.oauth_client_id.unwrap();
    let text = secret("a browser's token");
    let new = NewToken { client_id: Some(&client_id), session_id: Some("s"), ..token_of(&alice, &text, &[]) };
    let token = database.create_token(new, now()).await.unwrap();
    let (_, scopes) = database.token_scopes(&token).await.unwrap().unwrap();
    let expected = ["access:servers!server=alice/", "read:users:groups!user=alice", "read:users:name!user=alice"];
    assert_eq!(scopes.list(), expected);
}

#[tokio::test]
async fn a_stop_takes_away_what_the_start_made() {
    let (database, alice) = with_alice().await;
    let before = (count(&database, "SELECT count(*) FROM api_tokens").await, dump(&database).await);
    let row = start(&database, &alice, "").await;
    let client_id = row.oauth_client_id.clone().unwrap();
    let text = secret("a browser's token");
    let new = NewToken { client_id: Some(&client_id), session_id: Some("s"), ..token_of(&alice, &text, &[]) };
    let browsers = database.create_token(new, now()).await.unwrap();

    database.stop_server(row.id, &json!({"pvc_name": "claim-alice"}), later(9)).await.unwrap();
    let stopped = database.server(alice.id, "").await.unwrap().unwrap();
    assert_eq!((stopped.active, stopped.started, stopped.oauth_client_id), (false, None, None));
    assert_eq!((stopped.last_activity, stopped.state), (Some(later(9)), json!({"pvc_name": "claim-alice"})));
    assert_eq!(database.find_token(SERVER_TOKEN, now()).await.unwrap(), None);
    assert_eq!(database.find_token("a browser's token", now()).await.unwrap(), None);
    assert_eq!(database.token_scopes(&browsers).await.unwrap(), None);
    assert!(database.oauth_client(&client_id).await.unwrap().is_none());

    assert_eq!(count(&database, "SELECT count(*) FROM hub_server_tokens").await, 0);
    database.delete_server(row.id).await.unwrap();
    assert_eq!((count(&database, "SELECT count(*) FROM api_tokens").await, dump(&database).await), before);
}

/// A hub that was killed between start and stop leaves rows; the next start replaces them.
#[tokio::test]
async fn a_second_start_replaces_what_the_first_left() {
    let (database, alice) = with_alice().await;
    let first = start(&database, &alice, "").await;
    let second = start(&database, &alice, "").await;
    assert_eq!(first.id, second.id);
    for query in ["SELECT count(*) FROM servers", "SELECT count(*) FROM api_tokens", "SELECT count(*) FROM spawners"] {
        assert_eq!(count(&database, query).await, 1, "{query}");
    }
}

#[tokio::test]
async fn a_hub_that_restarts_finds_the_active_servers() {
    let (database, alice) = with_alice().await;
    let idle = database.save_server(alice.id, "idle").await.unwrap();
    assert!(!idle.active);
    let row = start(&database, &alice, "").await;
    let state = json!({"pod_name": "jupyter-alice"});
    database.save_server_state(row.id, &state).await.unwrap();
    for address in ["http://10.244.0.7:8888/", "http://[fd00::7]:8888/", "http://127.0.0.1/"] {
        database.save_server_address(row.id, &address.parse().unwrap()).await.unwrap();
        let active = database.active_servers().await.unwrap();
        assert_eq!(active.len(), 1);
        assert_eq!((active[0].address.as_ref().unwrap().as_str(), &active[0].state), (address, &state));
    }
    assert_eq!(database.servers_of(alice.id).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_servers_activity_and_display_name() {
    let (database, alice) = with_alice().await;
    let id = database.save_server(alice.id, "s1").await.unwrap().id;
    assert_eq!(database.save_server(alice.id, "s1").await.unwrap().id, id);
    for at in [later(9), later(3)] {
        database.save_activity(&[(Subject::Server(id), at)]).await.unwrap();
    }
    database.set_display_name(id, Some("My server")).await.unwrap();
    let row = database.server(alice.id, "s1").await.unwrap().unwrap();
    assert_eq!((row.last_activity, row.display_name.as_deref()), (Some(later(9)), Some("My server")));
    assert_eq!(database.server(alice.id, "s2").await.unwrap(), None);
}
