//! Statements for SQLite and PostgreSQL alike: the rooms beside this one write each of them once. What the two take
//! differently, how a time is stored and which size a whole number has, is settled here.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use sqlx::{
    AssertSqlSafe, ColumnIndex, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite, SqlitePool, TypeInfo, ValueRef,
    pool::PoolConnection,
    postgres::{PgPool, PgRow},
    query::Query as SqlxQuery,
    sqlite::SqliteRow,
    types::time::{OffsetDateTime, PrimitiveDateTime},
};
use std::{
    fmt,
    ops::{Deref, DerefMut},
    time::Duration,
};

use super::postgres::HasLead;

/// How long a statement of PostgreSQL may take, getting a connection included: a request must not hang on a server that
/// stalls. SQLite has its own limit.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Connections to one database. Clones share them.
#[derive(Clone, Debug)]
pub(super) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool, HasLead),
}

/// One connection, in a transaction or not.
pub(super) enum Connection {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
    SqliteTransaction(sqlx::Transaction<'static, Sqlite>),
    PostgresTransaction(sqlx::Transaction<'static, Postgres>),
}

/// A transaction: what it changed is undone unless it is committed.
pub(super) struct Transaction(Connection);

impl Pool {
    pub(super) async fn acquire(&self) -> sqlx::Result<Connection> {
        match self {
            Self::Sqlite(pool) => pool.acquire().await.map(Connection::Sqlite),
            Self::Postgres(pool, lead) => {
                lead.check()?;
                in_time(pool.acquire()).await.map(Connection::Postgres)
            }
        }
    }

    /// A transaction for what nobody else does at the same time.
    pub(super) async fn begin(&self) -> sqlx::Result<Transaction> {
        let connection = match self {
            Self::Sqlite(pool) => Connection::SqliteTransaction(pool.begin().await?),
            Self::Postgres(pool, lead) => {
                lead.check()?;
                // Whoever asks may go away. sqlx would then leave the connection within a transaction that nobody ends.
                let pool = pool.clone();
                let begun = tokio::spawn(async move { pool.begin().await });
                let begun = async { begun.await.map_err(|_| sqlx::Error::WorkerCrashed)? };
                Connection::PostgresTransaction(in_time(begun).await?)
            }
        };
        Ok(Transaction(connection))
    }

    /// A transaction that holds the right to write from the start: one that reads first and writes later would otherwise
    /// fail, or write from what is no longer so, when another wrote in between.
    pub(super) async fn begin_writing(&self) -> sqlx::Result<Transaction> {
        match self {
            Self::Sqlite(pool) => {
                pool.begin_with("BEGIN IMMEDIATE").await.map(Connection::SqliteTransaction).map(Transaction)
            }
            Self::Postgres(..) => {
                let mut transaction = self.begin().await?;
                query(WRITE).execute(&mut *transaction).await?;
                Ok(transaction)
            }
        }
    }

    /// Names of the tables.
    pub(super) async fn tables(&self) -> sqlx::Result<Vec<String>> {
        let names = match self {
            Self::Sqlite(_) => "SELECT name FROM sqlite_master WHERE type = 'table'",
            Self::Postgres(..) => "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()",
        };
        query(names).fetch_all(self).await?.iter().map(|row| row.try_get(0)).collect()
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool, _) => pool.close().await,
        }
    }
}

/// The advisory lock of those who write to PostgreSQL: one at a time in a schema, as in SQLite.
const WRITE: &str = "SELECT pg_advisory_xact_lock(x'68756277'::int, hashtext(current_schema()))";

impl Transaction {
    pub(super) async fn commit(self) -> sqlx::Result<()> {
        match self.0 {
            Connection::SqliteTransaction(transaction) => transaction.commit().await,
            Connection::PostgresTransaction(transaction) => in_time(transaction.commit()).await,
            Connection::Sqlite(_) | Connection::Postgres(_) => Ok(()),
        }
    }
}

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.0
    }
}

async fn in_time<T>(work: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        let message = format!("PostgreSQL did not answer in {PATIENCE:?}");
        Err(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, message)))
    })
}

/// What a statement is given in the place of `$1`, `$2`.. .
#[derive(Clone)]
pub(super) enum Value {
    Int(Option<i64>),
    Bool(Option<bool>),
    Text(Option<String>),
    Time(Option<Timestamp>),
    Bytes(Option<Vec<u8>>),
}

macro_rules! values {
    ($($variant:ident: $($from:ty => $how:expr),+;)+) => {$($(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(Some($how(value)))
            }
        }
        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                Self::$variant(value.map($how))
            }
        }
    )+)+};
}

values! {
    Int: i64 => i64::from, i32 => i64::from, u32 => i64::from;
    Bool: bool => bool::from;
    Text: String => String::from, &str => str::to_owned, &String => String::clone;
    Time: Timestamp => Timestamp::from;
    Bytes: Vec<u8> => Vec::from, &[u8] => <[u8]>::to_vec;
}

/// A statement with its values.
pub(super) struct Query {
    sql: SqlStr,
    values: Vec<Value>,
}

/// A statement that stands in the program as it is. One that is put together is a [`QueryBuilder`]'s.
pub(super) fn query(sql: &'static str) -> Query {
    Query { sql: sql.into_sql_str(), values: Vec::new() }
}

impl Query {
    pub(super) fn bind(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    pub(super) async fn fetch_all(self, on: impl Executor) -> sqlx::Result<Vec<Row>> {
        on.fetch(self).await
    }

    /// The first row.
    pub(super) async fn fetch_optional(self, on: impl Executor) -> sqlx::Result<Option<Row>> {
        Ok(on.fetch(self).await?.into_iter().next())
    }

    /// The first row, which must be there.
    pub(super) async fn fetch_one(self, on: impl Executor) -> sqlx::Result<Row> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }

    pub(super) async fn execute(self, on: impl Executor) -> sqlx::Result<Done> {
        on.execute(self).await
    }

    fn for_sqlite(self) -> SqlxQuery<'static, Sqlite, <Sqlite as sqlx::Database>::Arguments> {
        let query = sqlx::query(self.sql);
        self.values.into_iter().fold(query, |query, value| match value {
            Value::Int(value) => query.bind(value),
            Value::Bool(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Time(value) => query.bind(value.map(time_text)),
            Value::Bytes(value) => query.bind(value),
        })
    }

    fn for_postgres(self) -> SqlxQuery<'static, Postgres, <Postgres as sqlx::Database>::Arguments> {
        let query = sqlx::query(self.sql);
        self.values.into_iter().fold(query, |query, value| match value {
            // A narrower column takes it, as long as it fits.
            Value::Int(value) => query.bind(value),
            Value::Bool(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
            Value::Time(value) => query.bind(value.and_then(without_zone)),
            Value::Bytes(value) => query.bind(value),
        })
    }
}

/// What a statement changed.
pub(super) struct Done(u64);

impl Done {
    pub(super) fn rows_affected(&self) -> u64 {
        self.0
    }
}

/// Where a statement runs: on any connection of a pool, or on this one.
pub(super) trait Executor {
    fn fetch(self, query: Query) -> impl Future<Output = sqlx::Result<Vec<Row>>> + Send;
    fn execute(self, query: Query) -> impl Future<Output = sqlx::Result<Done>> + Send;
}

impl Executor for &Pool {
    async fn fetch(self, query: Query) -> sqlx::Result<Vec<Row>> {
        match self {
            Pool::Sqlite(pool) => query.for_sqlite().fetch_all(pool).await.map(rows(Row::Sqlite)),
            Pool::Postgres(pool, lead) => {
                lead.check()?;
                in_time(query.for_postgres().fetch_all(pool)).await.map(rows(Row::Postgres))
            }
        }
    }

    async fn execute(self, query: Query) -> sqlx::Result<Done> {
        match self {
            Pool::Sqlite(pool) => query.for_sqlite().execute(pool).await.map(|done| Done(done.rows_affected())),
            Pool::Postgres(pool, lead) => {
                lead.check()?;
                in_time(query.for_postgres().execute(pool)).await.map(|done| Done(done.rows_affected()))
            }
        }
    }
}

impl Executor for &mut Connection {
    async fn fetch(self, query: Query) -> sqlx::Result<Vec<Row>> {
        let (sqlite, postgres) = (rows(Row::Sqlite), rows(Row::Postgres));
        match self {
            Connection::Sqlite(on) => query.for_sqlite().fetch_all(&mut **on).await.map(sqlite),
            Connection::SqliteTransaction(on) => query.for_sqlite().fetch_all(&mut **on).await.map(sqlite),
            Connection::Postgres(on) => in_time(query.for_postgres().fetch_all(&mut **on)).await.map(postgres),
            Connection::PostgresTransaction(on) => {
                in_time(query.for_postgres().fetch_all(&mut **on)).await.map(postgres)
            }
        }
    }

    async fn execute(self, query: Query) -> sqlx::Result<Done> {
        Ok(Done(match self {
            Connection::Sqlite(on) => query.for_sqlite().execute(&mut **on).await?.rows_affected(),
            Connection::SqliteTransaction(on) => query.for_sqlite().execute(&mut **on).await?.rows_affected(),
            Connection::Postgres(on) => in_time(query.for_postgres().execute(&mut **on)).await?.rows_affected(),
            Connection::PostgresTransaction(on) => {
                in_time(query.for_postgres().execute(&mut **on)).await?.rows_affected()
            }
        }))
    }
}

fn rows<R>(row: impl Fn(R) -> Row) -> impl FnOnce(Vec<R>) -> Vec<Row> {
    move |all| all.into_iter().map(row).collect()
}

/// Several statements without values, one after the other: in the words of SQLite, which are put into those of PostgreSQL.
pub(super) async fn run_script(script: &'static str, on: &mut Connection) -> sqlx::Result<()> {
    let for_postgres = || sqlx::raw_sql(AssertSqlSafe(in_postgres(script)));
    match on {
        Connection::Sqlite(on) => sqlx::raw_sql(script).execute(&mut **on).await.map(drop),
        Connection::SqliteTransaction(on) => sqlx::raw_sql(script).execute(&mut **on).await.map(drop),
        Connection::Postgres(on) => for_postgres().execute(&mut **on).await.map(drop),
        Connection::PostgresTransaction(on) => for_postgres().execute(&mut **on).await.map(drop),
    }
}

/// The types of PostgreSQL, as SQLAlchemy chooses them for JupyterHub.
fn in_postgres(script: &str) -> String {
    script
        .replace("\n    id INTEGER NOT NULL", "\n    id SERIAL NOT NULL")
        .replace(" DATETIME", " TIMESTAMP WITHOUT TIME ZONE")
        .replace(" BLOB", " BYTEA")
}

/// One row of an answer.
pub(super) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A column, by name or by number.
pub(super) trait Index: ColumnIndex<SqliteRow> + ColumnIndex<PgRow> {}

impl<I: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>> Index for I {}

impl Row {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Sqlite(row) => row.len(),
            Self::Postgres(row) => row.len(),
        }
    }

    /// A value of any type that is stored as text or bytes.
    #[cfg(test)]
    pub(super) fn try_get_text(&self, index: usize) -> Option<String> {
        match self {
            Self::Sqlite(row) => row.try_get_unchecked(index).ok()?,
            Self::Postgres(row) => {
                let value = row.try_get_raw(index).ok()?;
                value.as_bytes().ok().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            }
        }
    }

    /// A value, or with `Option` none. A `NULL` where a value is asked for is an error.
    pub(super) fn try_get<T: Column>(&self, index: impl Index) -> sqlx::Result<T> {
        T::get(self, index)
    }
}

/// A type that a column can be read as.
pub(super) trait Column: Sized {
    fn get(row: &Row, index: impl Index) -> sqlx::Result<Self>;
}

macro_rules! columns {
    ($($type:ty: |$sqlite:ident, $postgres:ident, $index:ident| $for_sqlite:expr, $for_postgres:expr;)+) => {$(
        impl Column for Option<$type> {
            fn get(row: &Row, $index: impl Index) -> sqlx::Result<Self> {
                match row {
                    Row::Sqlite($sqlite) => $for_sqlite,
                    Row::Postgres($postgres) => $for_postgres,
                }
            }
        }
        impl Column for $type {
            fn get(row: &Row, index: impl Index) -> sqlx::Result<Self> {
                let value: Option<$type> = row.try_get(index)?;
                value.ok_or_else(|| sqlx::Error::Decode(sqlx::error::UnexpectedNullError.into()))
            }
        }
    )+};
}

columns! {
    i64: |sqlite, postgres, index| sqlite.try_get(index), whole_number(postgres, index);
    bool: |sqlite, postgres, index| sqlite.try_get(index), postgres.try_get(index);
    String: |sqlite, postgres, index| sqlite.try_get(index), postgres.try_get(index);
    Vec<u8>: |sqlite, postgres, index| sqlite.try_get(index), postgres.try_get(index);
    Timestamp: |sqlite, postgres, index| sqlite.try_get::<Option<String>, _>(index)?.as_deref().map(parse_time).transpose(),
        postgres.try_get::<Option<PrimitiveDateTime>, _>(index)?.map(in_utc).transpose();
}

/// JupyterHub's columns have 32 bits in PostgreSQL, what is counted has 64.
fn whole_number(row: &PgRow, index: impl Index) -> sqlx::Result<Option<i64>> {
    let is_narrow = row.try_get_raw(&index)?.type_info().name() == "INT4";
    if is_narrow { Ok(row.try_get::<Option<i32>, _>(index)?.map(i64::from)) } else { row.try_get(index) }
}

/// As JupyterHub writes it into SQLite, in UTC without a zone: `2026-11-23 14:21:51.467543`.
pub(super) fn time_text(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}

/// What [`time_text`] wrote, or another program did with less precision.
fn parse_time(text: &str) -> sqlx::Result<Timestamp> {
    let at = text.parse::<DateTime>().and_then(|at| at.to_zoned(TimeZone::UTC));
    at.map(|at| at.timestamp()).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// `None` for a time that is centuries away.
fn without_zone(at: Timestamp) -> Option<PrimitiveDateTime> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(at.as_nanosecond()).ok()?;
    Some(PrimitiveDateTime::new(at.date(), at.time()))
}

fn in_utc(at: PrimitiveDateTime) -> sqlx::Result<Timestamp> {
    Timestamp::from_nanosecond(at.assume_utc().unix_timestamp_nanos())
        .map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A statement that is put together.
pub(super) struct QueryBuilder {
    sql: String,
    values: Vec<Value>,
}

impl QueryBuilder {
    pub(super) fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), values: Vec::new() }
    }

    /// SQL, in which nothing may stand that came from outside.
    pub(super) fn push(&mut self, sql: impl fmt::Display) -> &mut Self {
        self.sql.push_str(&sql.to_string());
        self
    }

    pub(super) fn push_bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let number = self.values.len();
        self.push(format_args!("${number}"))
    }

    /// The values of an `IN (..)`.
    pub(super) fn push_list<V: Into<Value>>(&mut self, values: impl IntoIterator<Item = V>) -> &mut Self {
        let mut is_first = true;
        for value in values {
            if !std::mem::take(&mut is_first) {
                self.push(", ");
            }
            self.push_bind(value);
        }
        // An empty list is no list in PostgreSQL; NULL equals nothing.
        if is_first { self.push("NULL") } else { self }
    }

    /// The statement; nothing is left here.
    pub(super) fn build(&mut self) -> Query {
        let sql = AssertSqlSafe(std::mem::take(&mut self.sql)).into_sql_str();
        Query { sql, values: std::mem::take(&mut self.values) }
    }
}
