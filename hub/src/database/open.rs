//! Opening: one hub at a time, at JupyterHub's revision, with the tables in it.

use super::{
    Database, DatabaseError, Memo, Place, Pool, Result, backup, failed,
    place::{directory_of, with_suffix},
    postgres::{self, LEADER, Lead},
    schema, sql,
};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt,
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
    File {
        _lock: File,
    },
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
                // A hub that could not use it must not count as ready, or it would take the place of one that can.
                Self::examine(place).await?;
                let lead = Lead::gain(options, reached).await.map_err(open)?;
                let pool = postgres::connect(options, &lead).await.map_err(open)?;
                let id = lead.id().to_owned();
                let database = Self::new(pool, place, Hold::Lead(lead));
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
        let hold = Hold::File { _lock: lock(path)? };
        let restore = |source| DatabaseError::Restore { place: place.clone(), source };
        backup::sweep(path).map_err(restore)?;
        let restored =
            backup::take_up(path).map_err(|source| DatabaseError::Restore { place: place.clone(), source })?;
        if restored {
            tracing::warn!(database = %place, "a backup took the place of the database");
        }
        make_private(path).map_err(|source| DatabaseError::Lock { place: place.clone(), source })?;
        let options = SqliteConnectOptions::new().filename(path);
        // A commit that was answered must outlive a power cut, or a logout could come undone: FULL, not NORMAL.
        let options = options.journal_mode(journal(path)).synchronous(SqliteSynchronous::Full);
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
            .map_err(|source| not_opened(place, source))?;
        check_pages(&pool, place).await?;
        let database = Self::new(Pool::Sqlite(pool), place, hold);
        database.prepare(place).await?;
        Ok(database)
    }

    pub(super) fn new(pool: Pool, place: &Place, hold: Hold) -> Self {
        Self { pool, place: place.clone(), memo: Arc::default(), definitions: Arc::default(), hold: Arc::new(hold) }
    }

    async fn prepare(&self, place: &Place) -> Result<()> {
        match self.revision().await.map_err(|source| DatabaseError::Open { place: place.clone(), source })? {
            Revision::New => self.create().await?,
            Revision::At(found) if found == schema::REVISION => {}
            Revision::At(found) => self.upgrade(found).await?,
        }
        self.create_own().await
    }

    async fn revision(&self) -> sqlx::Result<Revision> {
        let tables = self.pool.tables().await?;
        let has = |name: &str| tables.iter().any(|table| table == name);
        if !has("alembic_version") {
            // Tables of somebody else's, such as an extension's, may be beside ours.
            return Ok(if has("users") { Revision::At("none".to_owned()) } else { Revision::New });
        }
        let found = sql::query("SELECT version_num FROM alembic_version").fetch_optional(&self.pool).await?;
        Ok(Revision::At(found.map_or_else(|| Ok("none".to_owned()), |row| row.try_get(0))?))
    }

    /// Whether a database could be opened, and is whole; a hub may use it meanwhile.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn examine(place: &Place) -> Result<()> {
        let open = |source| DatabaseError::Open { place: place.clone(), source };
        let pool = match place {
            Place::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT);
                let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(open)?;
                check_pages(&pool, place).await?;
                Pool::Sqlite(pool)
            }
            Place::Postgres(options) => postgres::look(options).await.map_err(open)?,
        };
        match Self::new(pool, place, Hold::Nothing).revision().await.map_err(open)? {
            Revision::At(found) if found != schema::REVISION => {
                Err(DatabaseError::Revision { place: place.clone(), found })
            }
            _ => Ok(()),
        }
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

/// Makes the file of a new database for its owner only; SQLite gives what it lays beside it the same mode.
fn make_private(path: &Path) -> io::Result<()> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map(drop)
}

/// A hub that goes on with damaged pages would damage more (fault row 34).
async fn check_pages(pool: &SqlitePool, place: &Place) -> Result<()> {
    let mut connection = pool.acquire().await.map_err(|source| not_opened(place, source))?;
    match backup::damage(&mut connection, "PRAGMA quick_check(1)").await {
        Ok(None) => Ok(()),
        Ok(Some(found)) => Err(DatabaseError::Damaged { place: place.clone(), found }),
        Err(source) => Err(not_opened(place, source)),
    }
}

fn not_opened(place: &Place, source: sqlx::Error) -> DatabaseError {
    match &source {
        sqlx::Error::Database(error) if error.code().is_some_and(|code| DAMAGED.contains(&&*code)) => {
            DatabaseError::Damaged { place: place.clone(), found: error.message().to_owned() }
        }
        _ => DatabaseError::Open { place: place.clone(), source },
    }
}

/// SQLite's result codes for a file whose pages don't fit together, and for one that is no database.
const DAMAGED: [&str; 2] = ["11", "26"];

/// A write-ahead log is shared memory, which a file system over the network doesn't have (fault row 35).
fn journal(path: &Path) -> SqliteJournalMode {
    let kind = rustix::fs::statfs(directory_of(path)).map(|found| found.f_type).unwrap_or_default();
    if !is_over_network(kind) {
        return SqliteJournalMode::Wal;
    }
    tracing::warn!(
        database = %path.display(),
        "the database is on a file system over the network: it is slower there, and must be used from one machine at a time; a volume \
         of block storage, or PostgreSQL, is better"
    );
    SqliteJournalMode::Delete
}

/// By the number that `statfs` tells (statfs(2)): NFS, SMB, CIFS, 9p, Ceph, AFS, GFS2, OCFS2, Lustre, FUSE.
fn is_over_network(kind: rustix::fs::FsWord) -> bool {
    const OVER_NETWORK: [u32; 11] = [
        0x6969,
        0x517b,
        0xfe53_4d42,
        0xff53_4d42,
        0x0102_1997,
        0x00c3_6400,
        0x5346_414f,
        0x0116_1970,
        0x7461_636f,
        0x0bd0_0bd0,
        0x6573_5546,
    ];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "these numbers have 32 bits")]
    OVER_NETWORK.contains(&(kind as u32))
}

/// A lock of our own beside the file: SQLite's would keep other programs out, which may share it.
pub(super) fn lock(path: &Path) -> Result<File> {
    let place = Place::Sqlite(path.to_owned());
    let name = with_suffix(path, ".hub-lock");
    let failed = |source| DatabaseError::Lock { place: place.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DatabaseError::InUse { place: place.clone() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
