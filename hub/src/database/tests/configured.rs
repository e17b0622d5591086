//! What the settings declare: there after a start, gone with them, and nothing written where nothing is said.

use super::*;
use hub_crds::{HubGroup, HubRole};
use std::collections::BTreeMap;

fn service(name: &str) -> NewService {
    let client =
        ServiceClient { id: format!("service-{name}"), redirect_uri: format!("/services/{name}/oauth_callback") };
    NewService {
        name: name.to_owned(),
        admin: false,
        url: "http://10.0.0.7:8080/x".to_owned(),
        address: Some(ServiceAddress { scheme: "http".to_owned(), host: "10.0.0.7".to_owned(), port: 8080 }),
        prefix: format!("/services/{name}/"),
        info: serde_json::Map::new(),
        display: true,
        client: Some(client),
        allowed_scopes: vec!["self".to_owned()],
        no_confirm: false,
    }
}

fn role(name: &str, scopes: &[&str]) -> HubRole {
    let scopes = scopes.iter().map(ToString::to_string).collect();
    HubRole { name: name.to_owned(), scopes: Some(scopes), ..HubRole::default() }
}

fn names(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(ToString::to_string).collect())
}

fn with_services(services: Vec<(NewService, Option<SecretString>)>) -> Configured {
    Configured { services, ..Configured::default() }
}

fn with_roles(roles: Vec<HubRole>) -> Configured {
    Configured { roles, ..Configured::default() }
}

const TOKEN: &str = "the-token-of-grades";

fn grades() -> Configured {
    with_services(vec![(service("grades"), Some(secret(TOKEN)))])
}

#[tokio::test]
async fn without_settings_a_start_changes_nothing() {
    let (database, _) = with_alice().await;
    let before = dump(&database).await;
    database.configure(&Configured::default(), now()).await.unwrap();
    assert_eq!(dump(&database).await, before);
}

#[tokio::test]
async fn a_service_is_stored_as_jupyterhub_stores_it() {
    let database = database().await;
    database.configure(&grades(), now()).await.unwrap();
    let row = database.service_by_name("grades").await.unwrap().unwrap();
    assert!(row.from_config && row.display && !row.admin);
    assert_eq!((row.url.as_str(), row.prefix.as_str()), ("http://10.0.0.7:8080/x", "/services/grades/"));
    assert_eq!(database.service_targets().await.unwrap(), [("grades".into(), "http://10.0.0.7:8080".into())]);

    let client = database.oauth_client("service-grades").await.unwrap().unwrap();
    assert_eq!(client.description, "JupyterHub service grades");
    assert_eq!(client.redirect_uri, "/services/grades/oauth_callback");
    assert_eq!(client.allowed_scopes, ["access:services!service=grades", "self"]);
    assert_eq!(client.target, Some(ClientTarget::Service("grades".into())));
    assert!(client.verify_secret(TOKEN).await.unwrap() && client.has_secret() && !client.no_confirm);

    let token = database.find_token(TOKEN, now()).await.unwrap().unwrap();
    assert_eq!((token.owner, token.note.as_deref()), (TokenOwner::Service(row.id), Some("from config")));
    assert_eq!((token.scopes.as_slice(), token.is_oauth()), (["inherit".to_owned()].as_slice(), false));
    let hashes = count(&database, "SELECT count(*) FROM api_tokens WHERE hashed LIKE 'sha512:16384:%'").await;
    assert_eq!(hashes, 1);
    assert!(!dump(&database).await.contains(TOKEN));
}

#[tokio::test]
async fn a_second_start_keeps_ids_tokens_and_what_browsers_have() {
    let (database, alice) = with_alice().await;
    database.configure(&grades(), now()).await.unwrap();
    let text = secret("a browser's token");
    let new = NewToken { client_id: Some("service-grades"), ..token_of(&alice, &text, &[]) };
    database.create_token(new, now()).await.unwrap();
    let find = async |text: &str| database.find_token(text, now()).await.unwrap().map(|token| token.id);
    let (before, row) = (find(TOKEN).await, database.service_by_name("grades").await.unwrap());
    database.configure(&grades(), later(60)).await.unwrap();
    assert_eq!((find(TOKEN).await, database.service_by_name("grades").await.unwrap()), (before, row));
    assert!(find("a browser's token").await.is_some());
    assert_eq!(count(&database, "SELECT count(*) FROM servers").await, 1);
}

#[tokio::test]
async fn another_token_takes_the_place_of_the_one_before() {
    let database = database().await;
    database.configure(&grades(), now()).await.unwrap();
    let known = async |text: &str| database.find_token(text, now()).await.unwrap().is_some();
    for (next, last) in [("the-second-token", TOKEN), ("the-third-token", "the-second-token")] {
        database.replace_service_token("grades", &secret(next), now()).await.unwrap();
        assert!(known(next).await && !known(last).await);
        assert!(database.oauth_client("service-grades").await.unwrap().unwrap().verify_secret(next).await.unwrap());
    }
    database.configure(&grades(), now()).await.unwrap();
    assert!(known(TOKEN).await && !known("the-third-token").await);
    database.replace_service_token("nobody", &secret("some-other-token"), now()).await.unwrap();
    assert!(!known("some-other-token").await);
    database.configure(&with_services(vec![(service("grades"), None)]), now()).await.unwrap();
    assert!(!known(TOKEN).await, "a service without a token has none");
    assert!(!database.oauth_client("service-grades").await.unwrap().unwrap().has_secret());
}

#[tokio::test]
async fn with_a_service_goes_all_that_is_its_own() {
    let (database, alice) = with_alice().await;
    let before = dump(&database).await;
    database.configure(&grades(), now()).await.unwrap();
    let text = secret("a browser's token");
    let new = NewToken { client_id: Some("service-grades"), ..token_of(&alice, &text, &[]) };
    database.create_token(new, now()).await.unwrap();
    database.configure(&Configured::default(), now()).await.unwrap();
    assert_eq!(dump(&database).await, before);
}

#[tokio::test]
async fn a_service_that_logs_nobody_in_any_more_loses_its_client() {
    let database = database().await;
    database.configure(&grades(), now()).await.unwrap();
    let plain = NewService { url: String::new(), address: None, client: None, ..service("grades") };
    database.configure(&with_services(vec![(plain, Some(secret(TOKEN)))]), now()).await.unwrap();
    assert!(database.oauth_client("service-grades").await.unwrap().is_none());
    assert_eq!(database.service_targets().await.unwrap(), []);
    let row = database.service_by_name("grades").await.unwrap().unwrap();
    assert_eq!((row.url.as_str(), row.prefix.as_str()), ("", ""));
}

/// What browsers got for one service must not open another that takes over its client's id.
#[tokio::test]
async fn a_client_that_changes_hands_begins_anew() {
    let (database, alice) = with_alice().await;
    database.create_service(&service("old"), Some(&secret("the-token-of-old")), now()).await.unwrap();
    let text = secret("a browser's token");
    let new = NewToken { client_id: Some("service-old"), ..token_of(&alice, &text, &[]) };
    database.create_token(new, now()).await.unwrap();
    let taken = database.create_service(&NewService { name: "new".into(), ..service("old") }, None, now()).await;
    assert!(matches!(taken, Err(DatabaseError::Taken { what: "oauth_client_id" })));
    let new = NewService { name: "new".into(), ..service("old") };
    database.configure(&with_services(vec![(new, None)]), now()).await.unwrap();
    assert_eq!(database.find_token("a browser's token", now()).await.unwrap(), None);
    let client = database.oauth_client("service-old").await.unwrap().unwrap();
    assert_eq!(client.target, Some(ClientTarget::Service("new".into())));
}

#[tokio::test]
async fn a_service_made_over_the_api_stays_until_it_is_deleted_there() {
    let database = database().await;
    let made = database.create_service(&service("rt"), Some(&secret("the-token-of-rt")), now()).await.unwrap();
    let taken = database.create_service(&service("rt"), None, now()).await;
    assert!(matches!(taken, Err(DatabaseError::Taken { .. })));
    database.configure(&Configured::default(), now()).await.unwrap();
    assert_eq!(database.services().await.unwrap(), std::slice::from_ref(&made));
    assert!(!made.from_config);
    database.delete_service(made.id).await.unwrap();
    assert_eq!(database.services().await.unwrap(), []);
    assert_eq!(database.find_token("the-token-of-rt", now()).await.unwrap(), None);
    assert!(database.oauth_client("service-rt").await.unwrap().is_none());
    assert_eq!(count(&database, "SELECT count(*) FROM servers").await, 0);
}

#[tokio::test]
async fn roles_are_replaced_not_added_to() {
    let (database, alice) = with_alice().await;
    let grader =
        HubRole { users: names(&["alice", "bob"]), groups: names(&["class"]), ..role("grader", &["read:hub"]) };
    database.configure(&with_roles(vec![grader, role("gone", &["shutdown"])]), now()).await.unwrap();
    assert_eq!(roles(&database, alice.id).await, ["grader", "user"]);
    let bob = database.user_by_name("bob").await.unwrap().unwrap();
    assert_eq!(roles(&database, bob.id).await, ["grader", "user"]);
    assert_eq!(count(&database, "SELECT count(*) FROM group_role_map").await, 1);
    assert_eq!(
        database.scopes_of_roles(&["gone".into(), "grader".into()]).await.unwrap().unwrap(),
        ["shutdown", "read:hub"]
    );

    let grader = HubRole { users: names(&["bob"]), ..role("grader", &["read:metrics"]) };
    database.configure(&with_roles(vec![grader]), now()).await.unwrap();
    assert_eq!(roles(&database, alice.id).await, ["user"]);
    assert_eq!(count(&database, "SELECT count(*) FROM group_role_map").await, 0);
    assert!(database.user_scopes(&bob).await.unwrap().holds("read:metrics"));
    assert!(!database.user_scopes(&bob).await.unwrap().holds("read:hub"));
    assert_eq!(database.scopes_of_roles(&["gone".into()]).await.unwrap(), None);
}

#[tokio::test]
async fn roles_that_every_hub_has_come_back_when_the_settings_say_no_more_of_them() {
    let (database, alice) = with_alice().await;
    database.configure(&with_roles(vec![role("user", &["self", "read:hub"])]), now()).await.unwrap();
    assert_eq!(roles(&database, alice.id).await, ["user"], "without a list everybody keeps it");
    assert!(database.user_scopes(&alice).await.unwrap().holds("read:hub"));
    let before = dump(&database).await;
    assert!(before.contains("Standard user privileges"), "its description is kept");
    database.configure(&Configured::default(), now()).await.unwrap();
    assert!(!database.user_scopes(&alice).await.unwrap().holds("read:hub"));
    assert!(database.user_scopes(&alice).await.unwrap().holds("servers"));
}

#[tokio::test]
async fn a_list_of_administrators_is_the_whole_list() {
    let (database, alice) = with_alice().await;
    let root = database.create_user("root", true, now()).await.unwrap();
    let is_admin = async |id| database.user(id).await.unwrap().unwrap().admin;
    let unlisted = HubRole { name: "admin".into(), ..HubRole::default() };
    database.configure(&with_roles(vec![unlisted]), now()).await.unwrap();
    assert!(is_admin(root.id).await && !is_admin(alice.id).await);
    let listed = HubRole { name: "admin".into(), users: names(&["alice"]), ..HubRole::default() };
    database.configure(&with_roles(vec![listed]), now()).await.unwrap();
    assert!(!is_admin(root.id).await && is_admin(alice.id).await);
    assert_eq!(roles(&database, root.id).await, ["user"]);
    assert!(database.user_scopes(&alice).await.unwrap().holds("admin:users"));
}

#[tokio::test]
async fn a_service_is_an_administrator_only_while_the_settings_say_so() {
    let database = database().await;
    let boss = |admin: bool| with_services(vec![(NewService { admin, ..service("boss") }, None)]);
    let roles = async || {
        let row = database.service_by_name("boss").await.unwrap().unwrap();
        (row.admin, database.roles_of_service(row.id).await.unwrap().join(" "))
    };
    database.configure(&boss(true), now()).await.unwrap();
    assert_eq!(roles().await, (true, "admin".into()));
    database.configure(&boss(false), now()).await.unwrap();
    assert_eq!(roles().await, (false, String::new()));
    let listed = HubRole { name: "admin".into(), services: names(&["boss"]), ..HubRole::default() };
    database.configure(&Configured { roles: vec![listed], ..boss(false) }, now()).await.unwrap();
    assert_eq!(roles().await, (true, "admin".into()));
}

#[tokio::test]
async fn members_and_properties_of_groups_are_added() {
    let (database, alice) = with_alice().await;
    let group = |users: &[&str], properties: Option<&str>| Configured {
        groups: vec![HubGroup {
            name: "class".into(),
            users: names(users).unwrap(),
            properties: properties.map(|year| BTreeMap::from([("year".to_owned(), year.to_owned())])),
        }],
        ..Configured::default()
    };
    database.configure(&group(&["alice"], Some("1")), now()).await.unwrap();
    database.configure(&group(&["bob"], None), now()).await.unwrap();
    assert_eq!(groups(&database, alice.id).await, ["class"]);
    let bob = database.user_by_name("bob").await.unwrap().unwrap();
    assert_eq!(groups(&database, bob.id).await, ["class"]);
    let with_year = "SELECT count(*) FROM groups WHERE properties = '{\"year\":\"1\"}'";
    assert_eq!(count(&database, with_year).await, 1, "without the field they stay");
    database.configure(&Configured::default(), now()).await.unwrap();
    assert_eq!(groups(&database, alice.id).await, ["class"], "a group that is there stays");
}

/// A scope that the settings declare no more is held by nobody, whatever roles and tokens still say.
#[tokio::test]
async fn a_custom_scope_means_something_only_while_it_is_declared() {
    use hub_auth::scopes::{CustomScope, Definitions};
    let (database, alice) = with_alice().await;
    let reader = HubRole { users: names(&["alice"]), ..role("reader", &["custom:grades:read"]) };
    database.configure(&with_roles(vec![reader]), now()).await.unwrap();
    assert!(!database.user_scopes(&alice).await.unwrap().holds("custom:grades:read"));
    let declared = [("custom:grades:read".to_owned(), CustomScope::default())];
    let database = database.with_scopes(Definitions::with_custom(declared).unwrap());
    assert!(database.user_scopes(&alice).await.unwrap().holds("custom:grades:read"));
}
