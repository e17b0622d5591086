//! Opening the file: one hub at a time, at JupyterHub's revision, with the tables in it.

use super::{Database, DatabaseError, Memo, Result, failed, schema};
use sqlx::{
    Row, SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};

/// Readers don't wait for each other in WAL mode; there is never more than one writer.
const CONNECTIONS: u32 = 4;
/// How long a statement waits for another program's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

impl Database {
    /// Opens the database, and makes it if the file is absent or empty.
    ///
    /// # Errors
    /// If another hub has it open, if it has another revision than [`schema::REVISION`], or if it cannot be read or written.
    pub async fn open(path: &Path) -> Result<Self> {
        let lock = lock(path)?;
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        // A commit that was answered must outlive a power cut, or a logout could come undone: FULL, not NORMAL.
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let database = Self::connect(path, options, CONNECTIONS, Some(lock)).await?;
        Ok(database)
    }

    /// A new database in memory, for tests.
    ///
    /// # Errors
    /// If SQLite fails.
    pub async fn in_memory() -> Result<Self> {
        Self::connect(Path::new(":memory:"), SqliteConnectOptions::new().in_memory(true), 1, None).await
    }

    async fn connect(
        path: &Path,
        options: SqliteConnectOptions,
        connections: u32,
        lock: Option<Arc<File>>,
    ) -> Result<Self> {
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            .min_connections(1)
            // The only connection of a database in memory must never be closed.
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.foreign_keys(true).busy_timeout(BUSY_TIMEOUT))
            .await
            .map_err(|source| DatabaseError::Open { path: path.to_owned(), source })?;
        let mut database = Self { pool, memo: Arc::default(), definitions: Arc::default(), _lock: lock };
        database.prepare(path).await?;
        database.memo = Arc::new(Memo::of(path));
        Ok(database)
    }

    async fn prepare(&self, path: &Path) -> Result<()> {
        match revision(&self.pool).await.map_err(|source| DatabaseError::Open { path: path.to_owned(), source })? {
            Revision::New => self.create().await?,
            Revision::At(found) if found == schema::REVISION => {}
            Revision::At(found) => return Err(DatabaseError::Revision { path: path.to_owned(), found }),
        }
        self.create_own().await
    }

    /// Whether the database answers: for readiness.
    ///
    /// # Errors
    /// If it doesn't.
    pub async fn check(&self) -> Result<()> {
        sqlx::query("SELECT version_num FROM alembic_version")
            .fetch_one(&self.pool)
            .await
            .map(drop)
            .map_err(failed("read the revision"))
    }

    /// Writes what is left in the write-ahead log into the file, and closes it.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

enum Revision {
    /// A file without tables.
    New,
    At(String),
}

async fn revision(pool: &SqlitePool) -> sqlx::Result<Revision> {
    let tables: i64 =
        sqlx::query("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetch_one(pool).await?.try_get(0)?;
    if tables == 0 {
        return Ok(Revision::New);
    }
    let marked = sqlx::query("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'");
    if marked.fetch_one(pool).await?.try_get::<i64, _>(0)? == 0 {
        return Ok(Revision::At("none".to_owned()));
    }
    let found = sqlx::query("SELECT version_num FROM alembic_version").fetch_optional(pool).await?;
    Ok(Revision::At(found.map_or_else(|| Ok("none".to_owned()), |row| row.try_get(0))?))
}

/// A lock of our own beside the file: SQLite's would keep other programs out, which may share it.
fn lock(path: &Path) -> Result<Arc<File>> {
    let mut name = path.as_os_str().to_owned();
    name.push(".hub-lock");
    let failed = |source| DatabaseError::Lock { path: path.to_owned(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Arc::new(file)),
        Err(TryLockError::WouldBlock) => Err(DatabaseError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
