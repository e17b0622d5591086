//! Users, their roles and groups, lists of them, and what they may do.

use super::*;
use hub_auth::scopes::{Groups, Resource};

#[tokio::test]
async fn a_user_is_found_by_name_id_and_cookie() {
    let (database, alice) = with_alice().await;
    assert_eq!(alice.created, Some(now()));
    assert_eq!(alice.cookie_id.len(), 32);
    let found = [
        database.user(alice.id).await.unwrap(),
        database.user_by_name("alice").await.unwrap(),
        database.user_by_login(&alice.cookie_id, "").await.unwrap(),
    ];
    assert!(found.iter().all(|user| user.as_ref() == Some(&alice)));
    assert_eq!(database.user_by_name("Alice").await.unwrap(), None);
    assert_eq!(database.user_by_login("", "").await.unwrap(), None);
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let (database, alice) = with_alice().await;
    let taken = database.create_user("alice", false, now()).await;
    assert!(matches!(taken, Err(DatabaseError::Taken { what: "user name" })));
    assert_eq!(database.ensure_user("alice", now()).await.unwrap(), alice);
    let bob = database.ensure_user("bob", now()).await.unwrap();
    assert!(matches!(database.rename_user(bob.id, "alice").await, Err(DatabaseError::Taken { .. })));
    database.rename_user(bob.id, "carol").await.unwrap();
    assert_eq!(database.user(bob.id).await.unwrap().unwrap().name, "carol");
}

#[tokio::test]
async fn an_administrators_role_comes_and_goes() {
    let (database, alice) = with_alice().await;
    let none = Groups::default();
    assert_eq!(roles(&database, alice.id).await, ["user"]);
    assert!(!database.user_scopes(&alice).await.unwrap().allow("admin:users", None, &none));
    for _ in 0..2 {
        database.set_admin(alice.id, true).await.unwrap();
    }
    assert!(database.user(alice.id).await.unwrap().unwrap().admin);
    assert_eq!(roles(&database, alice.id).await, ["admin", "user"]);
    assert!(database.user_scopes(&alice).await.unwrap().allow("admin:users", None, &none));
    database.set_admin(alice.id, false).await.unwrap();
    assert_eq!(roles(&database, alice.id).await, ["user"]);
}

#[tokio::test]
async fn a_rotated_cookie_id_ends_the_old_one() {
    let (database, alice) = with_alice().await;
    let new = database.rotate_cookie_id(alice.id).await.unwrap();
    assert_ne!(new, alice.cookie_id);
    assert_eq!(database.user_by_login(&alice.cookie_id, "").await.unwrap(), None);
    assert_eq!(database.user_by_login(&new, "").await.unwrap().unwrap().id, alice.id);
}

#[tokio::test]
async fn activity_never_moves_backwards() {
    let (database, alice) = with_alice().await;
    for (at, expected) in [(later(5), later(5)), (later(1), later(5)), (later(9), later(9))] {
        database.save_activity(&[(Subject::User(alice.id), at)]).await.unwrap();
        assert_eq!(database.user(alice.id).await.unwrap().unwrap().last_activity, Some(expected));
    }
}

#[tokio::test]
async fn groups_and_shares_add_to_what_a_user_may() {
    let (database, alice) = with_alice().await;
    let bob = database.create_user("bob", false, now()).await.unwrap();
    let server = database.save_server(bob.id, "").await.unwrap();
    let statements = format!(
        "INSERT INTO groups (id, name) VALUES (1, 'staff'), (2, 'class');
         INSERT INTO user_group_map (user_id, group_id) VALUES ({alice}, 1), ({alice}, 2), ({bob}, 2);
         INSERT INTO roles (id, name, scopes, managed_by_auth) VALUES (9, 'reader', '[\"read:users:name!group=class\"]', FALSE);
         INSERT INTO group_role_map (group_id, role_id, managed_by_auth) VALUES (1, 9, FALSE);
         INSERT INTO shares (group_id, created_at, scopes, owner_id, spawner_id)
             VALUES (2, '2026-11-23 00:00:00.000000', '[\"access:servers!server=bob/\"]', {bob}, {server})",
        alice = alice.id,
        bob = bob.id,
        server = server.id,
    );
    run(&database, &statements).await;

    assert_eq!(groups(&database, alice.id).await, ["class", "staff"]);
    let scopes = database.user_scopes(&alice).await.unwrap();
    let groups = database.memberships(&scopes).await.unwrap();
    assert!(scopes.allow("read:users:name", Some(Resource::user("bob")), &groups));
    assert!(!scopes.allow("read:users:name", Some(Resource::user("bob")), &Groups::default()));
    assert!(scopes.allow("access:servers", Some(Resource::server("bob/")), &groups));
    assert!(!scopes.allow("read:servers", Some(Resource::server("bob/")), &groups));
}

#[tokio::test]
async fn lists_are_filtered_sorted_and_cut() {
    let database = database().await;
    for (name, activity) in [("anna", 3), ("Bert", 1), ("carla", 2), ("d%d", 0)] {
        let user = database.create_user(name, false, now()).await.unwrap();
        if activity > 0 {
            database.save_activity(&[(Subject::User(user.id), later(activity))]).await.unwrap();
        }
    }
    let names = async |query: UserQuery| {
        let page = database.list_users(&query).await.unwrap();
        (page.users.into_iter().map(|user| user.name).collect::<Vec<_>>().join(" "), page.total)
    };
    let all = UserQuery::default;
    assert_eq!(names(all()).await, ("anna Bert carla d%d".into(), 4));
    let page = UserQuery { offset: 1, limit: Some(2), descending: true, ..all() };
    assert_eq!(names(page).await, ("carla Bert".into(), 4));
    let by_activity = UserQuery { sort: UserSort::LastActivity, ..all() };
    assert_eq!(names(by_activity.clone()).await, ("d%d Bert carla anna".into(), 4));
    assert_eq!(names(UserQuery { descending: true, ..by_activity }).await, ("anna carla Bert d%d".into(), 4));
    for (filter, expected) in [("b", "Bert"), ("AR", "carla"), ("%", "d%d"), ("_", ""), ("'; DROP TABLE users; --", "")]
    {
        let (found, _) = names(UserQuery { name_filter: Some(filter.into()), ..all() }).await;
        assert_eq!(found, expected, "{filter}");
    }
    let visible =
        |users: &[&str]| Some(Visible { users: users.iter().map(ToString::to_string).collect(), groups: vec![] });
    assert_eq!(names(UserQuery { visible: visible(&["anna", "nobody"]), ..all() }).await, ("anna".into(), 1));
    assert_eq!(names(UserQuery { visible: visible(&[]), ..all() }).await, (String::new(), 0));
}

#[tokio::test]
async fn lists_tell_users_with_active_servers_from_others() {
    let (database, alice) = with_alice().await;
    database.create_user("bob", false, now()).await.unwrap();
    super::servers::start(&database, &alice, "").await;
    for (active, expected) in [(true, "alice"), (false, "bob")] {
        let page = database.list_users(&UserQuery { active: Some(active), ..Default::default() }).await.unwrap();
        assert_eq!(page.users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), [expected]);
    }
}

#[tokio::test]
async fn with_a_user_goes_all_that_is_theirs() {
    let (database, alice) = with_alice().await;
    let bob = database.create_user("bob", false, now()).await.unwrap();
    super::servers::start(&database, &alice, "").await;
    super::servers::start(&database, &bob, "").await;
    database.delete_user(alice.id).await.unwrap();
    let left = dump(&database).await;
    let traces: Vec<_> = left.lines().filter(|line| line.contains("alice")).collect();
    assert_eq!(traces, [""; 0]);
    assert_eq!(count(&database, "SELECT count(*) FROM servers").await, 1);
    assert_eq!(count(&database, "SELECT count(*) FROM api_tokens").await, 1);
    assert_eq!(count(&database, "SELECT count(*) FROM user_role_map").await, 1);
}
