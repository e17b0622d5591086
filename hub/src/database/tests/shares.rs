//! Shares and share codes: what they give, to whom, and when it ends. Advisory GHSA-c4gm-pwx9-9w8j (sharing) told no
//! details; these are the ways to get more than was shared, or to keep it, that one can think of.

use super::*;
use hub_auth::token::new_share_code;

const ALL: Window = Window { offset: 0, limit: 200 };
const ACCESS: &str = "access:servers!server=alice/";
const START: &str = "start:servers!server=alice/";

/// Alice with a server, and bob.
struct Fixture {
    database: Database,
    alice: User,
    bob: User,
    server: ServerRow,
}

impl Fixture {
    async fn new() -> Self {
        let (database, alice) = with_alice().await;
        let bob = database.create_user("bob", false, now()).await.unwrap();
        let server = database.save_server(alice.id, "").await.unwrap();
        Self { database, alice, bob, server }
    }

    async fn share(&self, with: ShareWith, scopes: &[&str]) -> Share {
        let scopes: Vec<_> = scopes.iter().map(ToString::to_string).collect();
        self.database.grant_share(&self.server, with, &scopes, now()).await.unwrap().unwrap()
    }

    async fn share_with_bob(&self, scopes: &[&str]) -> Share {
        self.share(ShareWith::User(self.bob.id), scopes).await
    }

    async fn code(&self, scopes: &[&str]) -> SecretString {
        let code = new_share_code(rand::random());
        let scopes: Vec<_> = scopes.iter().map(ToString::to_string).collect();
        self.database.create_share_code(&self.server, &code, &scopes, later(60), now()).await.unwrap();
        code
    }

    async fn exchange(&self, code: &SecretString) -> Option<Share> {
        self.database.exchange_share_code(code.expose_secret(), self.bob.id, now()).await.unwrap()
    }

    /// What of servers bob may do that are not bob's own.
    async fn bob_may(&self) -> Vec<String> {
        let held = self.database.user_scopes(&self.bob).await.unwrap().list();
        held.into_iter().filter(|scope| !scope.ends_with("!user=bob")).collect()
    }

    async fn sql(&self, statement: &str) {
        run(&self.database, statement).await;
    }
}

#[tokio::test]
async fn a_share_grows_shrinks_and_ends() {
    let hub = Fixture::new().await;
    let with = ShareWith::User(hub.bob.id);
    let first = hub.share_with_bob(&[START]).await;
    let both = hub.share_with_bob(&[ACCESS]).await;
    assert_eq!((both.id, both.scopes.as_slice()), (first.id, [ACCESS, START].map(str::to_owned).as_slice()));
    assert_eq!((both.owner.as_str(), both.server.as_str(), both.user.as_deref()), ("alice", "", Some("bob")));
    assert_eq!(hub.bob_may().await, [ACCESS, START]);

    let revoke = async |scopes: &[&str]| {
        let scopes: Vec<_> = scopes.iter().map(ToString::to_string).collect();
        let scopes = Some(scopes.as_slice()).filter(|scopes| !scopes.is_empty());
        hub.database.revoke_share(hub.server.id, with, scopes, now()).await.unwrap().map(|share| share.scopes)
    };
    assert_eq!(revoke(&["read:hub!server=alice/"]).await.unwrap().len(), 2);
    assert_eq!(revoke(&[START]).await.unwrap(), [ACCESS]);
    assert_eq!(hub.bob_may().await, [ACCESS]);
    assert_eq!(revoke(&[ACCESS, START]).await, None);
    assert_eq!(hub.bob_may().await, [""; 0]);
    assert_eq!(revoke(&[]).await, None, "there is nothing left");
    assert_eq!(count(&hub.database, "SELECT count(*) FROM shares").await, 0);
}

#[tokio::test]
async fn shares_are_listed_from_either_side() {
    let hub = Fixture::new().await;
    let group = hub.database.create_groups(&["staff"], &["bob".to_owned()]).await.unwrap().remove(0);
    let own = hub.share_with_bob(&[ACCESS]).await;
    let by_group = hub.share(ShareWith::Group(group.id), &[ACCESS]).await;
    let second = hub.database.save_server(hub.alice.id, "second").await.unwrap();
    let scopes = ["access:servers!server=alice/second".to_owned()];
    let with = ShareWith::User(hub.alice.id);
    let other = hub.database.grant_share(&second, with, &scopes, now()).await.unwrap().unwrap();

    let by = async |by, window| hub.database.list_shares(by, window, now()).await.unwrap();
    let all = by(SharedBy::Owner(hub.alice.id), ALL).await;
    assert_eq!(all, Page { items: vec![own.clone(), by_group.clone(), other.clone()], total: 3 });
    let part = by(SharedBy::Owner(hub.alice.id), Window { offset: 1, limit: 1 }).await;
    assert_eq!(part, Page { items: vec![by_group.clone()], total: 3 });
    assert_eq!(by(SharedBy::Server(second.id), ALL).await.items, [other]);
    assert_eq!(by(SharedBy::Owner(hub.bob.id), ALL).await.total, 0);

    let with = async |with| hub.database.list_shared_with(with, ALL, now()).await.unwrap().items;
    assert_eq!(with(ShareWith::User(hub.bob.id)).await, [own, by_group.clone()]);
    assert_eq!(with(ShareWith::Group(group.id)).await, [by_group]);
}

#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_a_stored_scope_is_bound_to_the_shared_server() {
    let hub = Fixture::new().await;
    hub.share_with_bob(&[ACCESS]).await;
    hub.sql(
        r#"UPDATE shares SET scopes = '["admin:users", "access:servers!user=root", "servers!server=bob/", "tokens!user",
                                        "inherit", "self", "shares!group=staff", "read:users!user=alice"]'"#,
    )
    .await;
    let held = hub.bob_may().await;
    assert!(held.contains(&ACCESS.to_owned()), "{held:?}");
    for scope in held {
        assert!(scope.ends_with("!server=alice/") && !scope.starts_with("read:user"), "{scope}");
    }
}

/// JupyterHub keeps shares when it renames, as a program may that shares the file.
#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_a_share_follows_its_server_and_not_its_name() {
    let hub = Fixture::new().await;
    let code = hub.code(&[START]).await;
    hub.share_with_bob(&[ACCESS]).await;
    hub.sql("UPDATE users SET name = 'alicia' WHERE name = 'alice'").await;
    let new_alice = hub.database.create_user("alice", false, now()).await.unwrap();
    hub.database.save_server(new_alice.id, "").await.unwrap();
    assert_eq!(hub.bob_may().await, ["access:servers!server=alicia/"]);
    let share = hub.exchange(&code).await.unwrap();
    assert_eq!(share.scopes, ["access:servers!server=alicia/", "start:servers!server=alicia/"]);

    hub.sql("UPDATE spawners SET name = 'moved' WHERE id = 1").await;
    assert_eq!(hub.bob_may().await, ["access:servers!server=alicia/moved", "start:servers!server=alicia/moved"]);
}

#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_nothing_outlives_the_server_the_owner_or_the_holder() {
    for delete in ["server", "owner", "holder"] {
        let hub = Fixture::new().await;
        let code = hub.code(&[ACCESS]).await;
        hub.share_with_bob(&[ACCESS]).await;
        match delete {
            "server" => hub.database.delete_server(hub.server.id).await.unwrap(),
            "owner" => hub.database.delete_user(hub.alice.id).await.unwrap(),
            _ => hub.database.delete_user(hub.bob.id).await.unwrap(),
        }
        assert_eq!(count(&hub.database, "SELECT count(*) FROM shares").await, 0, "{delete}");
        // The same names again, and with them the same ids.
        let alice = hub.database.ensure_user("alice", now()).await.unwrap();
        hub.database.save_server(alice.id, "").await.unwrap();
        let bob = hub.database.ensure_user("bob", now()).await.unwrap();
        let held = hub.database.user_scopes(&bob).await.unwrap().list();
        assert!(held.iter().all(|scope| scope.ends_with("!user=bob")), "{delete}: {held:?}");
        let found = hub.database.share_code(code.expose_secret(), now()).await.unwrap();
        assert_eq!(found.is_some(), delete == "holder");
    }
}

#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_a_share_that_expired_or_whose_group_was_left_gives_nothing() {
    let hub = Fixture::new().await;
    let group = hub.database.create_groups(&["staff"], &["bob".to_owned()]).await.unwrap().remove(0);
    hub.share(ShareWith::Group(group.id), &[ACCESS]).await;
    assert_eq!(hub.bob_may().await, [ACCESS]);
    hub.database.remove_members(group.id, &["bob".to_owned()]).await.unwrap();
    assert_eq!(hub.bob_may().await, [""; 0]);

    hub.share_with_bob(&[ACCESS, START]).await;
    hub.sql("UPDATE shares SET expires_at = '2020-01-01 00:00:00.000000' WHERE user_id IS NOT NULL").await;
    assert_eq!(hub.bob_may().await, [""; 0]);
    let with = ShareWith::User(hub.bob.id);
    assert_eq!(hub.database.share(hub.server.id, with, now()).await.unwrap(), None);
    assert_eq!(hub.database.list_shared_with(with, ALL, now()).await.unwrap().total, 0);
    assert_eq!(hub.database.list_shares(SharedBy::Owner(hub.alice.id), ALL, now()).await.unwrap().total, 1);
    assert_eq!(hub.share_with_bob(&[ACCESS]).await.scopes, [ACCESS], "what has expired does not come back");
    assert_eq!(count(&hub.database, "SELECT count(*) FROM shares WHERE user_id IS NOT NULL").await, 1);
}

#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_a_token_loses_what_its_owner_has_lost() {
    let hub = Fixture::new().await;
    hub.share_with_bob(&[ACCESS]).await;
    let (text, scopes) = (secret("0123456789abcdef"), [ACCESS.to_owned()]);
    let token = hub.database.create_token(token_of(&hub.bob, &text, &scopes), now()).await.unwrap();
    let held = async || hub.database.token_scopes(&token).await.unwrap().unwrap().1.list();
    assert!(held().await.contains(&ACCESS.to_owned()));
    hub.database.revoke_shares(hub.server.id).await.unwrap();
    assert!(!held().await.contains(&ACCESS.to_owned()));
}

#[tokio::test]
async fn a_code_is_stored_as_a_hash_and_found_whole_only() {
    let hub = Fixture::new().await;
    let code = hub.code(&[ACCESS]).await;
    let text = code.expose_secret();
    assert!(!dump(&hub.database).await.contains(text));
    let find = async |text: &str| hub.database.share_code(text, now()).await.unwrap();
    let found = find(text).await.unwrap();
    assert_eq!((found.owner.as_str(), found.server_id, found.exchange_count), ("alice", hub.server.id, 0));
    assert_eq!((found.created_at, found.expires_at), (Some(now()), Some(later(60))));
    for wrong in ["", &text[..4], &text[..42], &format!("{text}x"), &"x".repeat(1 << 20)] {
        assert_eq!(find(wrong).await, None);
    }
    let listed = hub.database.list_share_codes(SharedBy::Server(hub.server.id), ALL, now()).await.unwrap();
    assert_eq!(listed, Page { items: vec![found], total: 1 });
    assert_eq!(hub.database.list_share_codes(SharedBy::Owner(hub.bob.id), ALL, now()).await.unwrap().total, 0);
}

#[tokio::test]
async fn a_code_that_jupyterhub_made_is_accepted() {
    let hub = Fixture::new().await;
    // Made by JupyterHub 6.1.1 for this code.
    let code = "4hR319HpYGHi7mV6MXXa4ttHUPCy54kDArmD9nIGzVA";
    let hashed = "sha512:1:a3cd5436bd6e8c0b:29663c8e6a54131e33794e587d83f098c2a95a56cf483d2189ceafb71ce891b470ce0c19959dd0e6ee962e7cd55acc0cab345c613b758656a4e0bddaacfb01b9";
    hub.sql(&format!(
        "INSERT INTO share_codes (hashed, prefix, exchange_count, created_at, scopes, expires_at, owner_id, spawner_id)
         VALUES ('{hashed}', '4hR3', 0, '2026-11-23 00:00:00.000000', '[\"{ACCESS}\"]', '2026-11-24 00:00:00.000000', {}, {})",
        hub.alice.id, hub.server.id
    ))
    .await;
    let share = hub.exchange(&code.to_owned().into()).await.unwrap();
    assert_eq!(share.scopes, [ACCESS]);
}

#[tokio::test]
async fn a_code_is_exchanged_until_it_expires_and_every_exchange_counts() {
    let hub = Fixture::new().await;
    let code = hub.code(&[ACCESS]).await;
    for exchanges in 1..=2 {
        assert_eq!(hub.exchange(&code).await.unwrap().scopes, [ACCESS]);
        let found = hub.database.share_code(code.expose_secret(), now()).await.unwrap().unwrap();
        assert_eq!((found.exchange_count, found.last_exchanged_at), (exchanges, Some(now())));
    }
    assert_eq!(count(&hub.database, "SELECT count(*) FROM shares").await, 1);
    let carol = hub.database.create_user("carol", false, now()).await.unwrap();
    let late = hub.database.exchange_share_code(code.expose_secret(), carol.id, later(60)).await.unwrap();
    assert_eq!(late, None);
    hub.database.delete_expired(later(60)).await.unwrap();
    assert_eq!(count(&hub.database, "SELECT count(*) FROM share_codes").await, 0);
    assert_eq!(hub.bob_may().await, [ACCESS], "what a code gave outlives it");
}

/// A link that was once sent must not undo a revocation; one that is made later may.
#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_a_code_does_not_bring_back_what_was_revoked() {
    let hub = Fixture::new().await;
    let code = hub.code(&[ACCESS, START]).await;
    hub.exchange(&code).await.unwrap();
    let with = ShareWith::User(hub.bob.id);
    let start = [START.to_owned()];
    hub.database.revoke_share(hub.server.id, with, Some(&start), now()).await.unwrap().unwrap();
    assert_eq!(hub.exchange(&code).await, None);
    assert_eq!(hub.database.share_code_for(code.expose_secret(), hub.bob.id, now()).await.unwrap(), None);
    assert_eq!(hub.bob_may().await, [ACCESS]);

    let newer = hub.code(&[ACCESS]).await;
    assert_eq!(hub.exchange(&newer).await.unwrap().scopes, [ACCESS]);
    hub.database.revoke_shares(hub.server.id).await.unwrap();
    assert_eq!(hub.exchange(&newer).await, None);
    assert_eq!(hub.bob_may().await, [""; 0]);

    let carol = hub.database.create_user("carol", false, now()).await.unwrap();
    let for_carol = hub.database.exchange_share_code(newer.expose_secret(), carol.id, now()).await.unwrap();
    assert!(for_carol.is_some(), "others are not shut out");

    let given_up = hub.code(&[ACCESS]).await;
    let share = hub.exchange(&given_up).await.unwrap();
    hub.database.delete_share(share.id).await.unwrap();
    assert!(hub.exchange(&given_up).await.is_some(), "what one gave up oneself may be taken again");
}

#[tokio::test]
async fn codes_are_deleted_of_their_own_server_only() {
    let hub = Fixture::new().await;
    let (first, second) = (hub.code(&[ACCESS]).await, hub.code(&[ACCESS]).await);
    let other = hub.database.save_server(hub.bob.id, "").await.unwrap();
    let id = hub.database.share_code(first.expose_secret(), now()).await.unwrap().unwrap().id;
    assert!(!hub.database.delete_share_code(other.id, id).await.unwrap());
    assert!(hub.database.delete_share_code(hub.server.id, id).await.unwrap());
    assert!(!hub.database.delete_share_code(hub.server.id, id).await.unwrap());
    assert_eq!(hub.exchange(&first).await, None);
    assert_eq!(hub.database.delete_share_codes(other.id).await.unwrap(), 0);
    assert_eq!(hub.database.delete_share_codes(hub.server.id).await.unwrap(), 1);
    assert_eq!(hub.exchange(&second).await, None);
}
