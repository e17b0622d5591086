//! PostgreSQL: its connections, and the lead, by which one hub at a time uses a database.
//!
//! The lead is an advisory lock of one session. A hub that waits for it takes over as soon as that session has ended. A hub
//! whose own session has ended, because PostgreSQL was restarted for example, reads and writes nothing until it has the lead
//! again; and if another hub got it meanwhile, never again.

use sqlx::{
    ConnectOptions, Connection, PgConnection, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::sql::{PATIENCE, Pool};

/// More would wait for each other in the database, and every hub has as many.
const CONNECTIONS: u32 = 8;
/// How often the session of the lead is looked at, and a hub without it tries to get it.
const EVERY: Duration = Duration::from_millis(500);
/// The same while another hub has it: whoever starts next to a hub that ends takes over at once.
const EVERY_WAITING: Duration = Duration::from_millis(100);
/// The advisory lock of the lead, for each schema.
const LEAD: &str = "SELECT pg_try_advisory_lock(x'6875626c'::int, hashtext(current_schema()))";

/// Connections that serve as long as the hub has the lead.
pub(super) async fn connect(options: &PgConnectOptions, lead: &Lead) -> sqlx::Result<Pool> {
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
    // One that no longer answers must not keep its place until the network notices.
    let pool = pool.after_release(|connection, _| {
        Box::pin(async move { timeout(PATIENCE, connection.ping()).await.map_err(|_| silent())?.map(|()| true) })
    });
    let options = options.clone().options([("idle_in_transaction_session_timeout", "10000")]);
    Ok(Pool::Postgres(pool.connect_with(noticed(options)).await?, lead.has.clone()))
}

fn silent() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "PostgreSQL does not answer").into()
}

/// The same options for a session whose end PostgreSQL notices within seconds, also if the hub's node is gone without a word:
/// until then nobody else gets the lead.
fn noticed(options: PgConnectOptions) -> PgConnectOptions {
    options.options([
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
        ("tcp_user_timeout", "10000"),
    ])
}

/// A session for the lead.
async fn connect_for_lead(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    timeout(CONNECT, noticed(options.clone()).connect()).await.map_err(|_| silent())?
}

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// One connection, beside the hub that has the lead.
pub(super) async fn look(options: &PgConnectOptions) -> sqlx::Result<Pool> {
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE);
    Ok(Pool::Postgres(pool.connect_with(options.clone()).await?, HasLead(Arc::new(AtomicBool::new(true)))))
}

/// Whether the hub has the lead at this moment. Clones tell the same.
#[derive(Clone, Debug)]
pub(super) struct HasLead(Arc<AtomicBool>);

impl HasLead {
    /// # Errors
    /// The hub doesn't have the lead.
    pub(super) fn check(&self) -> sqlx::Result<()> {
        if self.0.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::NotConnected, "the session with PostgreSQL was lost; it is being renewed")
            .into())
    }
}

/// The lead of a database. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Lead {
    id: String,
    has: HasLead,
    lost: watch::Receiver<bool>,
    _ends: DropGuard,
}

impl Lead {
    /// Waits until no other hub uses the database. `reached` is called before that.
    ///
    /// # Errors
    /// PostgreSQL can't be reached.
    pub(super) async fn gain(options: &PgConnectOptions, reached: impl FnOnce()) -> sqlx::Result<Self> {
        let mut session = connect_for_lead(options).await?;
        reached();
        let mut is_told = false;
        while !timeout(PATIENCE, try_lead(&mut session)).await.map_err(|_| silent())?? {
            if !std::mem::replace(&mut is_told, true) {
                tracing::info!("another hub uses the database; this one waits until it has ended");
            }
            tokio::time::sleep(EVERY_WAITING).await;
        }
        let has = HasLead(Arc::new(AtomicBool::new(true)));
        let (lost_sender, lost) = watch::channel(false);
        let ends = CancellationToken::new();
        let id = hex::encode(rand::random::<[u8; 16]>());
        let keeping = keep(options.clone(), session, id.clone(), has.clone(), lost_sender);
        tokio::spawn(ends.clone().run_until_cancelled_owned(keeping));
        Ok(Self { id, has, lost, _ends: ends.drop_guard() })
    }

    /// Stored in the database as [`LEADER`], it tells one lead from the next.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Waits until another hub has got the lead.
    pub(super) async fn lost(&self) {
        let mut lost = self.lost.clone();
        if lost.wait_for(|lost| *lost).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn try_lead(session: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query(LEAD).fetch_one(session).await?.try_get(0)
}

/// Watches over the session that has the lead, until another hub has it.
async fn keep(
    options: PgConnectOptions,
    mut session: PgConnection,
    id: String,
    has: HasLead,
    lost: watch::Sender<bool>,
) {
    loop {
        // It ends here, or PostgreSQL would take this hub for another one that has the lead.
        until_lost(session).await;
        has.0.store(false, Ordering::Release);
        tracing::warn!("the session with PostgreSQL was lost; requests fail until there is another");
        match regain(&options, &id).await {
            Some(new) => session = new,
            None => {
                lost.send_replace(true);
                return;
            }
        }
        has.0.store(true, Ordering::Release);
        tracing::info!("there is a session with PostgreSQL again");
    }
}

async fn until_lost(mut session: PgConnection) {
    while matches!(timeout(PATIENCE, session.ping()).await, Ok(Ok(()))) {
        tokio::time::sleep(EVERY).await;
    }
}

/// Another session with the lead; `None` if another hub has it.
async fn regain(options: &PgConnectOptions, id: &str) -> Option<PgConnection> {
    let mut refused = 0;
    loop {
        if let Ok(mut session) = connect_for_lead(options).await
            && let Ok(Ok(leads)) = timeout(PATIENCE, try_lead(&mut session)).await
        {
            if leads {
                match timeout(PATIENCE, leader(&mut session)).await {
                    Ok(Ok(Some(leader))) if leader != id => return None,
                    Ok(Ok(_)) => return Some(session),
                    // It is asked again in a moment, in another session.
                    _ => {}
                }
            } else {
                refused += 1;
            }
        }
        // PostgreSQL may take a while to notice that the old session is gone, if the network went away under it.
        if refused > REFUSALS {
            return None;
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Who had the lead last.
async fn leader(session: &mut PgConnection) -> sqlx::Result<Option<String>> {
    let row =
        sqlx::query("SELECT value FROM hub_settings WHERE name = $1").bind(LEADER).fetch_optional(session).await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// The hub's setting that holds the id of the lead.
pub(super) const LEADER: &str = "leader";

/// How often the lead is asked for while PostgreSQL says that somebody has it.
const REFUSALS: u32 = 40;
