//! Copies of a SQLite database and their way back.
//!
//! A copy is made while the hub runs. One that is to come back is checked, laid beside the database, and takes its place when
//! the next hub opens it: at no moment is there half of one. What it replaces stays as `<file>.before-restore`.

use sqlx::{
    ConnectOptions, Connection, Row, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    Database, DatabaseError, Hold, Place, REVISION, failed, open,
    place::{directory_of, with_suffix},
    sql::Pool,
};

/// Why there is no copy, or why it can't come back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("the database is PostgreSQL's, which has its own programs for this: use pg_dump and pg_restore")]
    NotAFile,
    #[error("failed to {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("this is no backup of a hub's database: {0}; nothing was changed")]
    Unusable(String),
    #[error(
        "this backup has revision {0}, this hub needs {REVISION}; restore it with the version of the hub that made it"
    )]
    Revision(String),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Database {
    /// A copy of the database as it is at this moment, in a file of its own below `directory` that has no name any more.
    ///
    /// # Errors
    /// It isn't SQLite's, or there is no room.
    pub async fn back_up(&self, directory: &Path) -> Result<File, BackupError> {
        let Pool::Sqlite(pool) = &self.pool else { return Err(BackupError::NotAFile) };
        let path = directory.join(format!("{OUTGOING}{}", hex::encode(rand::random::<[u8; 8]>())));
        // Nobody else may read it, and SQLite takes an empty file. It loses its name also if whoever asks goes away.
        let file = private(&path).map_err(on_file("make", &path))?;
        let named = Named(path);
        let copied = sqlx::query("VACUUM INTO $1").bind(named.0.display().to_string()).execute(pool).await;
        copied.map_err(failed("copy the database"))?;
        Ok(file)
    }

    /// The same of a file that no hub uses, which stays exactly as it is.
    ///
    /// # Errors
    /// A hub uses it, it is no database, or there is no room.
    pub async fn back_up_closed(database: &Path) -> Result<File, BackupError> {
        let place = Place::Sqlite(database.to_owned());
        let _lock = open::lock(database)?;
        let options = SqliteConnectOptions::new().filename(database).read_only(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
        let pool = pool.map_err(|source| DatabaseError::Open { place: place.clone(), source })?;
        Self::new(Pool::Sqlite(pool), &place, Hold::Nothing).back_up(directory_of(database)).await
    }

    /// A copy of a file of SQLite as it is at this moment, under this name. One that is there is replaced.
    ///
    /// # Errors
    /// There is no room.
    pub(super) async fn copy_to(&self, to: &Path) -> Result<(), DatabaseError> {
        let Pool::Sqlite(pool) = &self.pool else { return Ok(()) };
        let copy = |source| DatabaseError::Copy { place: self.place.clone(), source };
        let partial = with_suffix(to, ".partial");
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(copy(error)),
            _ => private(&partial).map_err(copy)?,
        };
        let vacuum = sqlx::query("VACUUM INTO $1").bind(partial.display().to_string()).execute(pool);
        vacuum.await.map_err(failed("copy the database"))?;
        fs::rename(&partial, to).and_then(|()| sync_directory(to)).map_err(copy)
    }

    /// Where a copy is laid that is to come back at the next start.
    ///
    /// # Errors
    /// The database isn't SQLite's.
    pub fn incoming(&self) -> Result<Incoming, BackupError> {
        self.place.file().map(Incoming::beside).ok_or(BackupError::NotAFile)
    }
}

/// A copy on its way back to a database. What was not accepted goes with this.
#[derive(Debug)]
pub struct Incoming {
    database: PathBuf,
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.partial());
    }
}

/// A file that loses its name with this.
struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Incoming {
    /// For the database in this file.
    pub fn beside(database: &Path) -> Self {
        Self { database: database.to_owned() }
    }

    /// The file to write the copy into, for its owner only.
    ///
    /// # Errors
    /// It can't be made.
    pub fn create(&self) -> Result<File, BackupError> {
        let path = self.partial();
        remove(&path)?;
        private(&path).map_err(on_file("make", &path))
    }

    /// Checks what was written: from the next start on it is the database.
    ///
    /// # Errors
    /// It isn't a whole database of a hub of this version. Then it is removed.
    pub async fn accept(&self) -> Result<(), BackupError> {
        let partial = self.partial();
        let checked = check(&partial).await;
        remove_beside(&partial)?;
        if let Err(error) = checked {
            remove(&partial)?;
            return Err(error);
        }
        let staged = with_suffix(&self.database, STAGED);
        let flush = File::open(&partial).and_then(|file| file.sync_all());
        let stored = flush.and_then(|()| fs::rename(&partial, &staged)).and_then(|()| sync_directory(&staged));
        stored.map_err(on_file("store", &staged))
    }

    /// Puts the copy in the place of a database that no hub uses.
    ///
    /// # Errors
    /// A hub uses it, or the files can't be moved.
    pub fn take_up_now(&self) -> Result<(), BackupError> {
        let _lock = open::lock(&self.database)?;
        take_up(&self.database).map(drop).map_err(on_file("replace", &self.database))
    }

    fn partial(&self) -> PathBuf {
        with_suffix(&self.database, PARTIAL)
    }
}

const PARTIAL: &str = ".restore-partial";
/// How the names of copies begin that are on their way out.
const OUTGOING: &str = ".backup-";

/// Removes what a hub left that was killed while it copied.
pub(super) fn sweep(database: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory_of(database))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(OUTGOING) || path == with_suffix(database, PARTIAL) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Makes a rename outlive a power cut.
fn sync_directory(file: &Path) -> io::Result<()> {
    File::open(directory_of(file))?.sync_all()
}

const STAGED: &str = ".restore";
const REPLACED: &str = ".before-restore";

/// Puts a copy that waits beside a database in its place; says whether there was one. Whoever is killed meanwhile does the
/// rest the next time.
pub(super) fn take_up(database: &Path) -> io::Result<bool> {
    let staged = with_suffix(database, STAGED);
    if !staged.exists() {
        return Ok(false);
    }
    if database.exists() {
        // With its log, which holds what was committed last, and before the file itself: a log beside a file that it isn't
        // of would damage it.
        for part in ["-wal", "-shm", ""] {
            let from = with_suffix(database, part);
            let to = with_suffix(&with_suffix(database, REPLACED), part);
            match fs::rename(from, to) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    fs::rename(staged, database)?;
    sync_directory(database)?;
    Ok(true)
}

async fn check(path: &Path) -> Result<(), BackupError> {
    let unusable = |error: sqlx::Error| BackupError::Unusable(error.to_string());
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.map_err(unusable)?;
    if let Some(damage) = damage(&mut connection, "PRAGMA integrity_check(1)").await.map_err(unusable)? {
        return Err(BackupError::Unusable(damage));
    }
    let revision = sqlx::query("SELECT version_num FROM alembic_version").fetch_one(&mut connection).await;
    let revision: String = revision.and_then(|row| row.try_get(0)).map_err(unusable)?;
    connection.close().await.map_err(unusable)?;
    if revision == REVISION { Ok(()) } else { Err(BackupError::Revision(revision)) }
}

/// The first thing that one of SQLite's checks finds.
pub(super) async fn damage(connection: &mut SqliteConnection, check: &'static str) -> sqlx::Result<Option<String>> {
    let row = sqlx::query(check).fetch_one(connection).await?;
    let found: String = row.try_get(0)?;
    Ok((found != "ok").then_some(found))
}

fn private(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

fn remove(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(on_file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// What looking into a database leaves beside it.
fn remove_beside(path: &Path) -> Result<(), BackupError> {
    ["-wal", "-shm"].iter().try_for_each(|part| remove(&with_suffix(path, part)))
}

fn on_file(action: &'static str, path: &Path) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::File { action, path: path.to_owned(), source }
}
