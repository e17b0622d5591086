//! Whose processes servers are: the hub's own user's, or those of the system's user of that name.

use hub_server::{runs_as_root, user_id};
use std::{
    collections::BTreeMap,
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};
use tokio::process::Command;

use crate::spawner::SpawnError;

/// Whose processes servers are, and where they begin.
#[derive(Clone, Debug)]
pub enum Owner {
    /// The hub's own user's, all in one directory.
    Hub { root_dir: PathBuf },
    /// The hub's own user's, each user with a home of that name, in which `{username}` is filled in; made if it is not there.
    /// Nothing keeps people apart.
    Homes { template: String },
    /// Of the system's user with the name of the hub's, in that user's home.
    SystemUsers,
}

/// What a process is started with so that it is somebody's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// User and group; `None` are the hub's own.
    pub ids: Option<(u32, u32)>,
    pub directory: PathBuf,
    /// `HOME` and the like, where they aren't the hub's own.
    pub variables: BTreeMap<String, String>,
}

impl Owner {
    pub(super) fn root_dir(&self) -> Option<&Path> {
        match self {
            Self::Hub { root_dir } => Some(root_dir),
            Self::Homes { .. } | Self::SystemUsers => None,
        }
    }

    /// # Errors
    /// There is no such user, or the hub can't start its processes; the text says what to do.
    pub(crate) async fn account(&self, user: &str) -> Result<Account, SpawnError> {
        match self {
            Self::Hub { root_dir } => Ok(Account::of_hub(root_dir)),
            Self::Homes { template } => Account::with_home(user, template),
            Self::SystemUsers => system_user(user).await,
        }
    }
}

impl Account {
    pub(super) fn of_hub(directory: &Path) -> Self {
        Self { ids: None, directory: directory.to_owned(), variables: BTreeMap::new() }
    }

    fn with_home(user: &str, template: &str) -> Result<Self, SpawnError> {
        // A name with dots would lead out of the homes.
        if user.starts_with('.') {
            return Err(SpawnError::Refused(format!("a user with the name {user} cannot have a directory here")));
        }
        let home = PathBuf::from(template.replace("{username}", user));
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&home)
            .map_err(|error| SpawnError::Backend { action: "make the user's home", source: error.into() })?;
        let variables = variables(user, &home.display().to_string(), "/bin/bash");
        Ok(Self { ids: None, directory: home, variables })
    }
}

fn variables(user: &str, home: &str, shell: &str) -> BTreeMap<String, String> {
    let all = [("USER", user), ("HOME", home), ("SHELL", shell)].into_iter();
    all.filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Asks the system who that is. `getent` and not the C library: our programs are linked statically, and then it can't load
/// what the system is configured to ask (LDAP, sssd).
async fn system_user(name: &str) -> Result<Account, SpawnError> {
    let asked = Command::new("getent").args(["passwd", "--", name]).output().await;
    let asked = asked.map_err(|error| SpawnError::Backend { action: "run getent", source: error.into() })?;
    let account = account_of(name, &String::from_utf8_lossy(&asked.stdout)).ok_or_else(|| {
        SpawnError::Refused(format!(
            "this machine has no user {name}: make one with `useradd --create-home {name}`, or write \
             c.JupyterHub.spawner_class = 'simple' for a trial"
        ))
    })?;
    match account.ids {
        Some((user, _)) if !runs_as_root() && user != user_id() => Err(SpawnError::Refused(format!(
            "the hub may not start a server as {name}: run it as root, or write c.JupyterHub.spawner_class = 'simple' for a trial"
        ))),
        // Its own user's: there is nothing to change, and only root could.
        Some(_) if !runs_as_root() => Ok(Account { ids: None, ..account }),
        _ => Ok(account),
    }
}

/// A line of the user database: `name:x:uid:gid:comment:home:shell`.
fn account_of(name: &str, line: &str) -> Option<Account> {
    let fields: Vec<_> = line.trim_end().split(':').collect();
    // A number is looked up as an id.
    let [found, _, user, group, _, home, shell] = fields.as_slice() else { return None };
    (*found == name).then_some(())?;
    let directory = if home.is_empty() { "/" } else { home };
    Some(Account {
        ids: Some((user.parse().ok()?, group.parse().ok()?)),
        directory: directory.into(),
        variables: variables(name, home, shell),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_user_database_is_read() {
        let account = account_of("alice", "alice:x:1000:1001:Alice,,,:/home/alice:/bin/zsh\n").unwrap();
        assert_eq!((account.ids, account.directory.as_path()), (Some((1000, 1001)), Path::new("/home/alice")));
        assert_eq!(account.variables, variables("alice", "/home/alice", "/bin/zsh"));
        for (name, line) in
            [("1000", "alice:x:1000:1000::/home/alice:/bin/sh"), ("alice", ""), ("alice", "alice:x:a:b:::")]
        {
            assert_eq!(account_of(name, line), None, "{line}");
        }
    }

    #[tokio::test]
    async fn who_the_system_does_not_know_gets_no_server_and_a_remedy() {
        let refused = Owner::SystemUsers.account("nobody-has-this-name").await.unwrap_err().to_string();
        assert!(refused.contains("useradd --create-home nobody-has-this-name"), "{refused}");
    }

    #[tokio::test]
    async fn each_user_of_a_trial_has_a_home_and_none_outside_of_it() {
        let place = tempfile::tempdir().unwrap();
        let homes = Owner::Homes { template: format!("{}/{{username}}", place.path().display()) };
        let account = homes.account("alice").await.unwrap();
        assert!(account.directory == place.path().join("alice") && account.directory.is_dir());
        assert_eq!(account.variables["USER"], "alice");
        assert!(homes.account("..").await.is_err());
    }
}
