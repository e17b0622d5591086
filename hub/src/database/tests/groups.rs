//! Groups: changes that happen whole or not at all, and what ends with a group.

use super::*;
use serde_json::json;

const ALL: Window = Window { offset: 0, limit: 200 };

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn groups_are_made_with_members_and_listed_in_parts() {
    let (database, _) = with_alice().await;
    database.create_user("bob", false, now()).await.unwrap();
    let made = database.create_groups(&["b", "a", "c"], &names(&["bob", "alice", "bob"])).await.unwrap();
    assert_eq!(made.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
    assert_eq!(made[0].properties, json!({}));
    assert_eq!(database.group("a").await.unwrap().as_ref(), Some(&made[1]));
    assert_eq!(database.group("A").await.unwrap(), None);
    assert_eq!(database.members_of(made[0].id).await.unwrap(), ["alice", "bob"]);
    assert_eq!(database.roles_of_group(made[0].id).await.unwrap(), [""; 0]);

    let part = database.list_groups(None, Window { offset: 1, limit: 1 }).await.unwrap();
    assert_eq!((part.items.as_slice(), part.total), (&made[1..2], 3));
    let visible = database.list_groups(Some(&["c", "nothing", "') OR TRUE --"]), ALL).await.unwrap();
    assert_eq!((visible.items.as_slice(), visible.total), (&made[2..], 1));
    assert_eq!(database.list_groups(Some(&[]), ALL).await.unwrap().total, 0);
}

#[tokio::test]
async fn a_name_that_is_taken_or_unknown_changes_nothing() {
    let (database, _) = with_alice().await;
    let group = database.create_groups(&["a"], &names(&["alice"])).await.unwrap().remove(0);
    let taken = database.create_groups(&["b", "a"], &[]).await.unwrap_err();
    assert_eq!(taken.to_string(), "Group a already exists");
    let twice = database.create_groups(&["b", "b"], &[]).await.unwrap_err();
    assert_eq!(twice.to_string(), "Group b already exists");
    let unknown = database.create_groups(&["b"], &names(&["alice", "nobody"])).await.unwrap_err();
    assert_eq!(unknown.to_string(), "No such user: nobody");
    assert_eq!(database.list_groups(None, ALL).await.unwrap().total, 1);

    database.create_user("bob", false, now()).await.unwrap();
    assert!(database.add_members(group.id, &names(&["bob", "nobody"])).await.is_err());
    assert!(database.remove_members(group.id, &names(&["alice", "nobody"])).await.is_err());
    assert_eq!(database.members_of(group.id).await.unwrap(), ["alice"]);
}

#[tokio::test]
async fn members_come_and_go_and_properties_are_kept() {
    let (database, _) = with_alice().await;
    let group = database.create_groups(&["a"], &[]).await.unwrap().remove(0);
    for _ in 0..2 {
        database.add_members(group.id, &names(&["alice"])).await.unwrap();
    }
    assert_eq!(database.members_of(group.id).await.unwrap(), ["alice"]);
    for _ in 0..2 {
        database.remove_members(group.id, &names(&["alice"])).await.unwrap();
    }
    assert_eq!(database.members_of(group.id).await.unwrap(), [""; 0]);
    let properties = json!({"quota": {"cpu": [1, 2]}});
    database.set_group_properties(group.id, &properties).await.unwrap();
    assert_eq!(database.group("a").await.unwrap().unwrap().properties, properties);
}

#[tokio::test]
async fn with_a_group_goes_all_that_came_by_it() {
    let (database, alice) = with_alice().await;
    let bob = database.create_user("bob", false, now()).await.unwrap();
    let server = database.save_server(bob.id, "").await.unwrap();
    let group = database.create_groups(&["staff"], &names(&["alice"])).await.unwrap().remove(0);
    let statements = format!(
        "INSERT INTO roles (id, name, scopes, managed_by_auth) VALUES (9, 'reader', '[\"list:users\"]', FALSE);
         INSERT INTO group_role_map (group_id, role_id, managed_by_auth) VALUES ({}, 9, FALSE)",
        group.id
    );
    run(&database, &statements).await;
    let scopes = ["access:servers!server=bob/".to_owned()];
    database.grant_share(&server, ShareWith::Group(group.id), &scopes, now()).await.unwrap().unwrap();
    assert_eq!(database.roles_of_group(group.id).await.unwrap(), ["reader"]);
    let held = database.user_scopes(&alice).await.unwrap();
    assert!(held.holds("list:users") && held.list().contains(&scopes[0]));

    database.delete_group(group.id).await.unwrap();
    let held = database.user_scopes(&alice).await.unwrap();
    assert!(!held.holds("list:users") && !held.list().contains(&scopes[0]));
    for table in ["shares", "user_group_map", "group_role_map"] {
        let mut query = QueryBuilder::new(format!("SELECT count(*) FROM {table}"));
        let left: i64 = query.build().fetch_one(&database.pool).await.unwrap().try_get(0).unwrap();
        assert_eq!(left, 0, "{table}");
    }
}
