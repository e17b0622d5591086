//! Opening: one hub at a time, at JupyterHub's revision, with the tables in it.

use super::{
    Database, DatabaseError, Memo, Place, Pool, Result, failed,
    postgres::{self, LEADER, Lead},
    schema,
    sql,
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
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

/// What keeps a second hub out.
#[derive(Debug)]
pub(super) enum Hold {
    /// A database in memory is nobody else's.
    Nothing,
    File { _lock: File },
    Lead(Lead),
}

impl Database {
    /// Opens a database, and makes its tables if it has none. In PostgreSQL it waits until no other hub uses it.
    ///
    /// # Errors
    /// If another hub has the file open, if the database has another revision than [`schema::REVISION`], or if it cannot be
    /// read or written.
    pub async fn open_place(place: &Place) -> Result<Self> {
        Self::open_when_free(place, || ()).await
    }

    /// The same; `reached` is called once nothing is missing but the end of another hub.
    ///
    /// # Errors
    /// As [`Database::open_place`].
    pub async fn open_when_free(place: &Place, reached: impl FnOnce()) -> Result<Self> {
        match place {
            Place::Sqlite(path) => Self::open(path).await,
            Place::Postgres(options) => {
                let open = |source| DatabaseError::Open { place: place.clone(), source };
                let lead = Lead::gain(options, reached).await.map_err(open)?;
                let pool = postgres::connect(options, &lead).await.map_err(open)?;
                let id = lead.id().to_owned();
                let database = Self::new(pool, Hold::Lead(lead));
                database.prepare(place).await?;
                database.set_hub_setting(LEADER, &id).await?;
                Ok(database)
            }
        }
    }

    /// The same for a file of SQLite.
    ///
    /// # Errors
    /// As [`Database::open_place`].
    pub async fn open(path: &Path) -> Result<Self> {
        let place = Place::Sqlite(path.to_owned());
        let hold = Hold::File { _lock: lock(path, &place)? };
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        // A commit that was answered must outlive a power cut, or a logout could come undone: FULL, not NORMAL.
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
        let mut database = Self::connect(&place, options, CONNECTIONS, hold).await?;
        database.memo = Arc::new(Memo::of(path));
        Ok(database)
    }

    /// A new database that is nobody else's, for tests: in memory, or where [`Place::temporary`] says.
    ///
    /// # Errors
    /// If it can't be made.
    pub async fn temporary() -> Result<Self> {
        if let Some(place) = Place::temporary().await? {
            return Self::open_place(&place).await;
        }
        let options = SqliteConnectOptions::new().in_memory(true);
        Self::connect(&Place::Sqlite(":memory:".into()), options, 1, Hold::Nothing).await
    }

    async fn connect(place: &Place, options: SqliteConnectOptions, connections: u32, hold: Hold) -> Result<Self> {
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            .min_connections(1)
            // The only connection of a database in memory must never be closed.
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.foreign_keys(true).busy_timeout(BUSY_TIMEOUT))
            .await
            .map_err(|source| DatabaseError::Open { place: place.clone(), source })?;
        let database = Self::new(Pool::Sqlite(pool), hold);
        database.prepare(place).await?;
        Ok(database)
    }

    fn new(pool: Pool, hold: Hold) -> Self {
        Self { pool, memo: Arc::default(), definitions: Arc::default(), hold: Arc::new(hold) }
    }

    async fn prepare(&self, place: &Place) -> Result<()> {
        match self.revision().await.map_err(|source| DatabaseError::Open { place: place.clone(), source })? {
            Revision::New => self.create().await?,
            Revision::At(found) if found == schema::REVISION => {}
            Revision::At(found) => return Err(DatabaseError::Revision { place: place.clone(), found }),
        }
        self.create_own().await
    }

    async fn revision(&self) -> sqlx::Result<Revision> {
        let tables = self.pool.tables().await?;
        if tables.is_empty() {
            return Ok(Revision::New);
        }
        if !tables.iter().any(|table| table == "alembic_version") {
            return Ok(Revision::At("none".to_owned()));
        }
        let found = sql::query("SELECT version_num FROM alembic_version").fetch_optional(&self.pool).await?;
        Ok(Revision::At(found.map_or_else(|| Ok("none".to_owned()), |row| row.try_get(0))?))
    }

    /// Whether the database answers: for readiness.
    ///
    /// # Errors
    /// If it doesn't.
    pub async fn check(&self) -> Result<()> {
        let query = sql::query("SELECT version_num FROM alembic_version");
        query.fetch_one(&self.pool).await.map(drop).map_err(failed("read the revision"))
    }

    /// Waits until another hub has taken the database over, which a hub must not survive. That of a file never is.
    pub async fn taken_over(&self) {
        match &*self.hold {
            Hold::Lead(lead) => lead.lost().await,
            Hold::Nothing | Hold::File { .. } => std::future::pending().await,
        }
    }

    /// Writes what is left in the write-ahead log into the file, and closes it.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

enum Revision {
    /// No tables.
    New,
    At(String),
}

/// A lock of our own beside the file: SQLite's would keep other programs out, which may share it.
fn lock(path: &Path, place: &Place) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".hub-lock");
    let failed = |source| DatabaseError::Lock { place: place.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DatabaseError::InUse { place: place.clone() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
