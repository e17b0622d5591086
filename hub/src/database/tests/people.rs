//! Passwords, sessions and disabled users: what counts, and what must end together.

use super::*;

#[tokio::test]
async fn of_two_first_passwords_one_is_first() {
    let (database, alice) = with_alice().await;
    assert_eq!(database.password_hash("alice").await.unwrap(), None);
    assert!(database.claim_password(alice.id, "one", now()).await.unwrap());
    assert!(!database.claim_password(alice.id, "two", now()).await.unwrap());
    assert_eq!(database.password_hash("alice").await.unwrap().as_deref(), Some("one"));
    database.rehash_password("alice", "another", "three").await.unwrap();
    assert_eq!(database.password_hash("alice").await.unwrap().as_deref(), Some("one"), "it is another one by now");
    database.rehash_password("alice", "one", "three").await.unwrap();
    assert_eq!(database.password_hash("alice").await.unwrap().as_deref(), Some("three"));
    database.set_password(alice.id, Some("four"), later(1)).await.unwrap();
    assert_eq!(database.password_hash("alice").await.unwrap().as_deref(), Some("four"));
    database.set_password(alice.id, None, later(2)).await.unwrap();
    assert_eq!(database.password_hash("alice").await.unwrap(), None);
    database.set_password(alice.id, Some("five"), later(3)).await.unwrap();
    database.delete_user(alice.id).await.unwrap();
    assert_eq!(count(&database, "SELECT count(*) FROM hub_passwords").await, 0);
}

fn session(user: &User, login: &str, session_id: &str, seen: Timestamp) -> (Session, String) {
    let session = Session {
        login: login.to_owned(),
        user_id: user.id,
        session_id: Some(session_id.to_owned()),
        created_at: seen,
        seen_at: seen,
        expires_at: later(1000),
        address: Some("203.0.113.7".to_owned()),
        user_agent: "Test/1".to_owned(),
    };
    (session, user.cookie_id.clone())
}

async fn logins(database: &Database, user: &User) -> Vec<String> {
    database.sessions_of(user.id, now()).await.unwrap().into_iter().map(|session| session.login).collect()
}

#[tokio::test]
async fn a_session_is_noted_again_and_ends_with_its_tokens_alone() {
    let (database, alice) = with_alice().await;
    let bob = database.create_user("bob", false, now()).await.unwrap();
    let seen = [
        session(&alice, "a", "of-a", now()),
        session(&alice, "b", "of-b", later(5)),
        session(&bob, "c", "of-c", now()),
    ];
    database.save_sessions(&seen).await.unwrap();
    assert_eq!(logins(&database, &alice).await, ["b", "a"]);
    database.save_sessions(&[session(&alice, "a", "of-a", later(9))]).await.unwrap();
    let found = database.sessions_of(alice.id, now()).await.unwrap().remove(0);
    assert_eq!((found.login.as_str(), found.created_at.as_second()), ("a", now().as_second()));
    assert_eq!(found.seen_at.as_second(), later(9).as_second());

    for (text, session_id) in [("token-of-session-a", "of-a"), ("token-of-session-b", "of-b")] {
        let (secret, scopes) = (secret(text), []);
        let new = NewToken { session_id: Some(session_id), ..token_of(&alice, &secret, &scopes) };
        database.create_token(new, now()).await.unwrap();
    }
    assert!(!database.end_session(alice.id, "c", later(99)).await.unwrap(), "bob's");
    assert!(database.end_session(alice.id, "a", later(99)).await.unwrap());
    assert!(!database.end_session(alice.id, "a", later(99)).await.unwrap());
    assert_eq!(logins(&database, &alice).await, ["b"]);
    assert!(database.user_by_login(&alice.cookie_id, "a").await.unwrap().is_none());
    assert!(database.user_by_login(&alice.cookie_id, "b").await.unwrap().is_some());
    assert!(database.find_token("token-of-session-a", now()).await.unwrap().is_none());
    assert!(database.find_token("token-of-session-b", now()).await.unwrap().is_some());
}

#[tokio::test]
async fn what_was_seen_of_an_ended_login_does_not_come_back() {
    let (database, alice) = with_alice().await;
    let seen = [session(&alice, "a", "of-a", now())];
    database.save_sessions(&seen).await.unwrap();
    database.end_login("a", later(99)).await.unwrap();
    database.save_sessions(&seen).await.unwrap();
    assert_eq!(logins(&database, &alice).await, Vec::<String>::new());
    let seen = [session(&alice, "b", "of-b", now())];
    database.save_sessions(&seen).await.unwrap();
    database.end_sessions_of(alice.id).await.unwrap();
    database.save_sessions(&seen).await.unwrap();
    assert_eq!(logins(&database, &alice).await, Vec::<String>::new(), "with a cookie_id of before");
}

#[tokio::test]
async fn what_has_expired_is_not_listed_and_goes() {
    let (database, alice) = with_alice().await;
    database.save_sessions(&[session(&alice, "a", "of-a", now())]).await.unwrap();
    assert!(database.sessions_of(alice.id, later(1000)).await.unwrap().is_empty());
    database.delete_expired(later(1000)).await.unwrap();
    assert_eq!(count(&database, "SELECT count(*) FROM hub_sessions").await, 0);
}

#[tokio::test]
async fn a_disabled_user_is_known_by_no_login_and_no_token() {
    let (database, alice) = with_alice().await;
    let text = secret("a-token-of-alice");
    database.create_token(token_of(&alice, &text, &[]), now()).await.unwrap();
    let is_known = async || {
        let by_login = database.user_by_login(&alice.cookie_id, "a").await.unwrap().is_some();
        let by_token = database.find_token(text.expose_secret(), now()).await.unwrap().is_some();
        assert_eq!(by_login, by_token);
        by_login
    };
    assert!(is_known().await);
    for _ in 0..2 {
        database.disable_user(alice.id, now()).await.unwrap();
        assert!(!is_known().await && database.disabled_users().await.unwrap().contains("alice"));
    }
    database.enable_user(alice.id).await.unwrap();
    assert!(is_known().await && database.disabled_users().await.unwrap().is_empty());
}
