//! Tokens, OAuth clients and codes: found by their text alone, gone when they should be, never in the clear.

use super::*;
use hub_auth::{pkce, token};

const TOKEN: &str = "5929b0eb05144f90ba28a0ab4816a5b3";

fn inherit() -> Vec<String> {
    vec!["inherit".to_owned()]
}

#[tokio::test]
async fn a_token_is_found_by_its_text_and_nothing_near_it() {
    let (database, alice) = with_alice().await;
    let text = secret(TOKEN);
    let token = database.create_token(token_of(&alice, &text, &inherit()), now()).await.unwrap();
    assert_eq!((token.client_id.as_str(), token.is_oauth(), token.created), ("jupyterhub", false, Some(now())));
    assert_eq!(database.find_token(TOKEN, now()).await.unwrap(), Some(token));
    let last_changed = format!("{}4", &TOKEN[..31]);
    for wrong in ["", "5929", "59290000", &last_changed, &TOKEN[..31], &"5929".repeat(17)] {
        assert_eq!(database.find_token(wrong, now()).await.unwrap(), None, "{wrong}");
    }
}

/// A row as JupyterHub 6.1.1 wrote it.
#[tokio::test]
async fn a_token_that_jupyterhub_stored_is_found() {
    let (database, alice) = with_alice().await;
    let row = format!(
        "INSERT INTO api_tokens VALUES ({}, NULL, 1,
            'sha512:1:1d667cb80c70b4e3:eb41f3e3f24fe80ec3dba31a2e0e49cf5991d06e5f61e525d560c575cf438c20e9c2e3c0e0a6e97524e9eb36aba9f3a8ffb3680d41e56d0fa5b2c920874bdb14',
            '5929', 'jupyterhub', NULL, '2026-11-23 23:20:34.954945', '2026-11-24 00:20:34.953603', NULL, 'hello', '[\"self\"]')",
        alice.id
    );
    run(&database, &row).await;
    let token = database.find_token(TOKEN, now()).await.unwrap().unwrap();
    assert_eq!(token.scopes, ["self"]);
    assert_eq!(token.expires_at, Some("2026-11-24T00:20:34.953603Z".parse().unwrap()));
    assert_eq!(database.find_token(TOKEN, "2026-11-24T00:20:35Z".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn of_tokens_with_one_prefix_each_is_found() {
    let (database, alice) = with_alice().await;
    for number in 0..5 {
        let text = secret(&format!("same-prefix-{number}"));
        database.create_token(token_of(&alice, &text, &[]), now()).await.unwrap();
    }
    for number in 0..5 {
        let found = database.find_token(&format!("same-prefix-{number}"), now()).await.unwrap();
        assert_eq!(found.unwrap().id, number + 1);
    }
}

#[tokio::test]
async fn an_expired_token_is_not_found_nor_listed_and_is_removed() {
    let (database, alice) = with_alice().await;
    let text = secret(TOKEN);
    let new = NewToken { expires_at: Some(later(60)), ..token_of(&alice, &text, &[]) };
    let id = database.create_token(new, now()).await.unwrap().id;
    assert!(database.find_token(TOKEN, later(59)).await.unwrap().is_some());
    assert!(database.token(alice.id, id, later(59)).await.unwrap().is_some());
    for at in [later(60), later(61)] {
        assert_eq!(database.find_token(TOKEN, at).await.unwrap(), None);
        assert_eq!(database.token(alice.id, id, at).await.unwrap(), None);
        assert!(database.tokens_of(alice.id, at).await.unwrap().is_empty());
    }
    database.delete_expired(later(59)).await.unwrap();
    assert_eq!(count(&database, "SELECT count(*) FROM api_tokens").await, 1);
    database.delete_expired(later(60)).await.unwrap();
    assert_eq!(count(&database, "SELECT count(*) FROM api_tokens").await, 0);
}

#[tokio::test]
async fn a_token_is_its_owners_only() {
    let (database, alice) = with_alice().await;
    let bob = database.create_user("bob", false, now()).await.unwrap();
    let text = secret(TOKEN);
    let id = database.create_token(token_of(&alice, &text, &[]), now()).await.unwrap().id;
    assert_eq!(database.token(bob.id, id, now()).await.unwrap(), None);
    assert!(database.tokens_of(bob.id, now()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_token_may_what_its_owner_may_at_that_moment() {
    let (database, alice) = with_alice().await;
    let text = secret(TOKEN);
    let token = database.create_token(token_of(&alice, &text, &inherit()), now()).await.unwrap();
    let holds = async || {
        let (principal, scopes) = database.token_scopes(&token).await.unwrap().unwrap();
        assert_eq!(principal.name(), "alice");
        scopes.holds("admin:users")
    };
    assert!(!holds().await);
    database.set_admin(alice.id, true).await.unwrap();
    assert!(holds().await);
    database.set_admin(alice.id, false).await.unwrap();
    assert!(!holds().await);
}

#[tokio::test]
async fn logout_ends_the_tokens_and_codes_of_one_session() {
    let (database, alice) = with_alice().await;
    let client_id = super::servers::start(&database, &alice, "").await.oauth_client_id.unwrap();
    for (number, session) in [Some("s1"), Some("s1"), Some("s2"), None].into_iter().enumerate() {
        let text = secret(&format!("token-number-{number}"));
        let new = NewToken { session_id: session, client_id: Some(&client_id), ..token_of(&alice, &text, &[]) };
        database.create_token(new, now()).await.unwrap();
    }
    let code = secret("a code of the session");
    database.create_code(&new_code(&code, &client_id, &alice)).await.unwrap();
    assert_eq!(database.delete_session_tokens(alice.id, "s1").await.unwrap(), 2);
    assert_eq!(redeem(&database, code.expose_secret(), now()).await, Redeemed::Unknown);
    let left: Vec<_> =
        database.tokens_of(alice.id, now()).await.unwrap().into_iter().map(|token| token.session_id).collect();
    assert_eq!(left, [None, Some("s2".to_owned()), None]);
    // The server's own token stays in a reset, too; all that browsers have goes.
    assert_eq!(database.reset(Reset::Sessions, &[]).await.unwrap().tokens, 2);
    assert_eq!(database.tokens_of(alice.id, now()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn deleting_an_oauth_token_deletes_its_clients() {
    let (database, alice) = with_alice().await;
    let bob = database.create_user("bob", false, now()).await.unwrap();
    let client_id = super::servers::start(&database, &alice, "").await.oauth_client_id.unwrap();
    let mut tokens = Vec::new();
    for (number, owner) in [&alice, &alice, &bob].into_iter().enumerate() {
        let text = secret(&format!("token-number-{number}"));
        let new = NewToken { client_id: Some(&client_id), ..token_of(owner, &text, &[]) };
        tokens.push(database.create_token(new, now()).await.unwrap());
    }
    database.delete_token(&tokens[0]).await.unwrap();
    assert_eq!(database.find_token("token-number-1", now()).await.unwrap(), None);
    assert_eq!(database.find_token("token-number-2", now()).await.unwrap(), Some(tokens.remove(2)));
    let own = database.tokens_of(alice.id, now()).await.unwrap();
    assert_eq!(own.len(), 1, "the server's own token stays");
    database.delete_token(&own[0]).await.unwrap();
    assert!(database.tokens_of(alice.id, now()).await.unwrap().is_empty());
}

fn new_code<'a>(code: &'a SecretString, client_id: &'a str, user: &User) -> NewCode<'a> {
    NewCode {
        code,
        client_id,
        user_id: user.id,
        redirect_uri: "/user/alice/oauth_callback",
        session_id: "s1",
        scopes: &[],
        challenge: Some(("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", pkce::Method::S256)),
        expires_at: later(300),
    }
}

/// Exchanges a code for a token that nothing else is asked of.
async fn redeem(database: &Database, code: &str, at: Timestamp) -> Redeemed<()> {
    let token = token::new_oauth_token(rand::random());
    database.redeem_code(code, at, &token, |_| Ok(later(3600))).await.unwrap()
}

/// Of two exchanges at once one gets a token, which the other ends: nobody knows who was the right one (attack row 27).
#[tokio::test]
async fn a_code_is_exchanged_once_and_in_time() {
    let (database, alice) = with_alice().await;
    let client_id = super::servers::start(&database, &alice, "").await.oauth_client_id.unwrap();
    let own = database.tokens_of(alice.id, now()).await.unwrap().len();
    let code = secret("0123456789abcdef0123456789abcd");
    let new = new_code(&code, &client_id, &alice);
    database.create_code(&new).await.unwrap();
    let code = code.expose_secret();
    assert_eq!(redeem(&database, "0123456789abcdef0123456789abce", now()).await, Redeemed::Unknown);
    let (first, second) = tokio::join!(redeem(&database, code, later(299)), redeem(&database, code, later(299)));
    let expected = OAuthCode {
        client_id: client_id.clone(),
        user_id: alice.id,
        redirect_uri: new.redirect_uri.to_owned(),
        session_id: Some("s1".to_owned()),
        scopes: vec![],
        challenge: new.challenge.map(|(challenge, method)| (challenge.to_owned(), method)),
    };
    assert!(
        [&first, &second].contains(&&Redeemed::Granted(expected)) && [&first, &second].contains(&&Redeemed::Replayed),
        "{first:?} {second:?}"
    );
    assert_eq!(database.tokens_of(alice.id, later(300)).await.unwrap().len(), own);
}

#[tokio::test]
async fn a_code_that_expired_or_was_refused_is_gone() {
    let (database, alice) = with_alice().await;
    let client_id = super::servers::start(&database, &alice, "").await.oauth_client_id.unwrap();
    let (late, refused) = (secret("a code that comes too late"), secret("a code for somebody else"));
    for code in [&late, &refused] {
        database.create_code(&new_code(code, &client_id, &alice)).await.unwrap();
    }
    assert_eq!(redeem(&database, late.expose_secret(), later(300)).await, Redeemed::Unknown);
    let token = token::new_oauth_token(rand::random());
    let no = database.redeem_code(refused.expose_secret(), now(), &token, |_| Err("no")).await.unwrap();
    assert_eq!(no, Redeemed::Refused("no"));
    assert_eq!(redeem(&database, refused.expose_secret(), now()).await, Redeemed::Replayed);
}

/// A challenge whose method nobody knows must not count as no challenge.
#[tokio::test]
async fn a_code_with_an_unknown_challenge_is_an_error() {
    let (database, alice) = with_alice().await;
    let client_id = super::servers::start(&database, &alice, "").await.oauth_client_id.unwrap();
    let code = secret("some code");
    database.create_code(&new_code(&code, &client_id, &alice)).await.unwrap();
    run(&database, "UPDATE oauth_codes SET code_challenge_method = 'S512'").await;
    let token = token::new_oauth_token(rand::random());
    assert!(database.redeem_code("some code", now(), &token, |_| Ok::<_, ()>(later(9))).await.is_err());
}

#[tokio::test]
async fn a_clients_secret_is_checked_and_never_empty() {
    let database = database().await;
    let (text, empty) = (secret("the secret of a service"), secret(""));
    let new = NewClient {
        identifier: "service-x",
        secret: &text,
        redirect_uri: "/services/x/oauth_callback",
        description: "x",
        allowed_scopes: &[],
    };
    database.save_oauth_client(new).await.unwrap();
    let client = database.oauth_client("service-x").await.unwrap().unwrap();
    assert!(client.verify_secret("the secret of a service").await.unwrap());
    assert!(!client.verify_secret("the secret of a servicf").await.unwrap());
    assert!(!client.verify_secret("").await.unwrap());
    assert_eq!(client.target, None);
    assert!(!format!("{client:?}").contains("sha512"));

    database.save_oauth_client(NewClient { secret: &empty, ..new }).await.unwrap();
    let client = database.oauth_client("service-x").await.unwrap().unwrap();
    for secret in ["", "the secret of a service"] {
        assert!(!client.verify_secret(secret).await.unwrap());
    }
    database.delete_oauth_client("service-x").await.unwrap();
    assert!(database.oauth_client("service-x").await.unwrap().is_none());
}

/// S32: whoever reads the file finds no token, no code and no client's secret.
#[tokio::test]
async fn nothing_secret_is_stored_in_the_clear() {
    let (database, alice) = with_alice().await;
    let (token, code, client) = (secret("plain-token-xyz"), secret("plain-code-xyz"), secret("plain-client-xyz"));
    database.create_token(token_of(&alice, &token, &inherit()), now()).await.unwrap();
    let client_id = super::servers::start(&database, &alice, "").await.oauth_client_id.unwrap();
    database.create_code(&new_code(&code, &client_id, &alice)).await.unwrap();
    let new =
        NewClient { identifier: "service-x", secret: &client, redirect_uri: "/", description: "", allowed_scopes: &[] };
    database.save_oauth_client(new).await.unwrap();
    let text = dump(&database).await;
    assert!(text.contains("service-x") && text.contains("sha512:16384:"));
    for plain in ["xyz", super::servers::SERVER_TOKEN] {
        assert!(!text.contains(plain), "{plain}");
    }
}
