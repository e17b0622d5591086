//! What was read lately, for as long as nobody commits anything: a request with a token costs no query then.
//!
//! Whether somebody did, another program included, is read off the header of the WAL-index, which SQLite changes with each
//! commit (<https://sqlite.org/walformat.html#the_wal_index_header>): one small read of a file in memory. A value is kept under
//! the header that was there before it was read, so that a commit meanwhile makes it void at once. A database without such a
//! file is read each time.

use std::{
    any::Any,
    collections::HashMap,
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Result, Subject, place::with_suffix};

/// More values than this are not kept.
const MOST: usize = 20_000;
const HEADER: usize = 48;

/// The header of the WAL-index. Two that are equal stand for the same content of the database.
type Version = [u8; HEADER];

/// What a value was asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// SHA-256 of a token: the token itself is kept nowhere.
    Token([u8; 32]),
    /// A user, by id.
    User(i64),
    /// An OAuth client, by its identifier.
    Client(String),
    UserName(String),
    /// A user by the id in a login cookie and the cookie's digest.
    Login(String, String),
    /// Scopes of a user, by id.
    UserScopes(i64),
    /// Groups of a user at the provider, by id.
    ProviderGroups(i64),
    DisabledUsers,
    /// Roles, groups and servers of a user, by id.
    Details(i64, super::Wanted),
}

/// Values that were read, and the version of the database that they are of.
#[derive(Debug, Default)]
pub(super) struct Memo {
    index: Option<File>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    version: Version,
    values: HashMap<Key, Value>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { version: [0; HEADER], values: HashMap::new() }
    }
}

#[derive(Debug)]
struct Value {
    value: Arc<dyn Any + Send + Sync>,
    /// Whose activity it tells of.
    about: Vec<Subject>,
}

impl Memo {
    /// For the database at this path, which is open already.
    pub(super) fn of(path: &Path) -> Self {
        Self { index: File::open(with_suffix(path, "-shm")).ok(), kept: Mutex::default() }
    }

    /// The value that `read` gives, or gave while the database was as it is now. `about` names whose activity it holds;
    /// with `None` it isn't kept.
    pub(super) async fn remember<T: Clone + Send + Sync + 'static>(
        &self,
        key: Key,
        about: impl FnOnce(&T) -> Option<Vec<Subject>>,
        read: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Some(version) = self.version() else { return read.await };
        if let Some(kept) = self.get(&key, &version) {
            return Ok(kept);
        }
        let value = read.await?;
        if let Some(about) = about(&value) {
            self.keep(key, &version, Value { value: Arc::new(value.clone()), about });
        }
        Ok(value)
    }

    fn get<T: Clone + 'static>(&self, key: &Key, version: &Version) -> Option<T> {
        let mut kept = self.lock();
        if kept.version != *version {
            kept.values.clear();
            kept.version = *version;
            return None;
        }
        kept.values.get(key)?.value.downcast_ref().cloned()
    }

    fn keep(&self, key: Key, version: &Version, value: Value) {
        let mut kept = self.lock();
        if kept.version != *version {
            return;
        }
        if kept.values.len() >= MOST {
            kept.values.clear();
        }
        kept.values.insert(key, value);
    }

    /// Before a commit that changes nothing but the activity of some, with the right to write already taken.
    pub(super) fn version(&self) -> Option<Version> {
        let mut header = [0; HEADER];
        self.index.as_ref()?.read_exact_at(&mut header, 0).ok()?;
        Some(header)
    }

    /// After such a commit: what is kept stays, but for those. `before` is the version that it was made from.
    pub(super) fn pass(&self, before: Option<Version>, changed: &[(Subject, jiff::Timestamp)]) {
        let (Some(before), Some(now)) = (before, self.version()) else { return };
        let mut kept = self.lock();
        if kept.version == before && commits(&now) == commits(&before).wrapping_add(1) {
            kept.version = now;
            let changed: std::collections::HashSet<_> = changed.iter().map(|(subject, _)| *subject).collect();
            kept.values.retain(|_, value| !value.about.iter().any(|subject| changed.contains(subject)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The header's count of commits.
fn commits(version: &Version) -> u32 {
    u32::from_ne_bytes([version[8], version[9], version[10], version[11]])
}

#[cfg(test)]
mod tests {
    use super::super::{Database, DatabaseError, tests::now};
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    async fn database() -> (tempfile::TempDir, Database) {
        let place = tempfile::tempdir().unwrap();
        let database = Database::open(&place.path().join("hub.sqlite")).await.unwrap();
        (place, database)
    }

    /// Reads through the memo; says whether the database was asked.
    async fn asked(database: &Database, about: Subject) -> bool {
        let reads = AtomicUsize::new(0);
        let read = async {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok::<_, DatabaseError>(7)
        };
        let value = database.memo.remember(Key::UserScopes(1), |_| Some(vec![about]), read).await.unwrap();
        assert_eq!(value, 7);
        reads.load(Ordering::Relaxed) == 1
    }

    #[tokio::test]
    async fn a_value_is_read_once_until_someone_commits() {
        let (_place, database) = database().await;
        let alice = database.create_user("alice", false, now()).await.unwrap();
        let subject = Subject::User(alice.id);
        assert!(asked(&database, subject).await);
        assert!(!asked(&database, subject).await);
        database.set_admin(alice.id, true).await.unwrap();
        assert!(asked(&database, subject).await);
    }

    /// Another program, such as `sqlite3`, changes the file while the hub runs.
    #[tokio::test]
    async fn another_programs_commit_is_noticed_at_once() {
        use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
        let (place, database) = database().await;
        let alice = database.create_user("alice", false, now()).await.unwrap();
        let user = async || database.user_by_name("alice").await.unwrap().unwrap();
        assert!(!user().await.admin);
        let options = SqliteConnectOptions::new().filename(place.path().join("hub.sqlite"));
        let mut other = options.connect().await.unwrap();
        sqlx::query("UPDATE users SET admin = 1 WHERE id = $1").bind(alice.id).execute(&mut other).await.unwrap();
        assert!(user().await.admin);
    }

    /// Everyone's activity is written each second: that alone must not make all else be read anew.
    #[tokio::test]
    async fn activity_makes_only_those_void_who_were_active() {
        let (_place, database) = database().await;
        let alice = database.create_user("alice", false, now()).await.unwrap();
        let bob = database.create_user("bob", false, now()).await.unwrap();
        let (of_alice, of_bob) = (Subject::User(alice.id), Subject::User(bob.id));
        assert!(asked(&database, of_alice).await);
        database.save_activity(&[(of_bob, now())]).await.unwrap();
        assert!(!asked(&database, of_alice).await);
        database.save_activity(&[(of_alice, now())]).await.unwrap();
        assert!(asked(&database, of_alice).await);
        assert_eq!(database.user_by_name("alice").await.unwrap().unwrap().last_activity, Some(now()));
    }

    #[tokio::test]
    async fn a_database_without_a_file_is_read_each_time() {
        let database = Database::temporary().await.unwrap();
        assert!(asked(&database, Subject::User(1)).await);
        assert!(asked(&database, Subject::User(1)).await);
    }
}
