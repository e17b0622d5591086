//! What a failure of the database means to whoever asked: that it can be tried again, or that it never will succeed.

use sqlx::error::DatabaseError as Reported;

/// Why the database refused, as far as the answer to a request depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It can't be reached, is busy, full, read-only or damaged: later it may work.
    Unavailable,
    /// It can't hold a value that was given: text that is too long, or with a NUL, which SQLite takes.
    BadValue,
}

impl Fault {
    /// The fault behind an error, if it is one of the database.
    pub fn behind(error: &anyhow::Error) -> Option<Self> {
        error.chain().find_map(|cause| cause.downcast_ref::<sqlx::Error>()).and_then(of)
    }
}

fn of(error: &sqlx::Error) -> Option<Fault> {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => Some(Fault::Unavailable),
        sqlx::Error::Database(reported) => match reported.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
            Some(error) => of_sqlstate(error.code()),
            None => of_sqlite(&**reported),
        },
        _ => None,
    }
}

/// The first two characters are the class: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn of_sqlstate(code: &str) -> Option<Fault> {
    match code.get(..2)? {
        // A connection, its lack, a transaction that was ended for another's sake, the resources, the operator's intervention (a
        // shutdown), the system.
        "08" | "40" | "53" | "57" | "58" | "XX" => Some(Fault::Unavailable),
        "22" => Some(Fault::BadValue),
        // A standby that only reads, a transaction that has failed already, a lock that is not to be had.
        _ if ["25006", "25P02", "55P03"].contains(&code) => Some(Fault::Unavailable),
        _ => None,
    }
}

/// The primary result code is the low byte: <https://sqlite.org/rescode.html>.
fn of_sqlite(reported: &dyn Reported) -> Option<Fault> {
    /// BUSY, LOCKED, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB.
    const UNAVAILABLE: [i32; 9] = [5, 6, 8, 10, 11, 13, 14, 15, 26];
    let code: i32 = reported.code()?.parse().ok()?;
    UNAVAILABLE.contains(&(code & 0xff)).then_some(Fault::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_work_later_is_told_from_what_never_will() {
        for (code, fault) in [
            ("57P01", Some(Fault::Unavailable)),
            ("53300", Some(Fault::Unavailable)),
            ("25006", Some(Fault::Unavailable)),
            ("40P01", Some(Fault::Unavailable)),
            ("22001", Some(Fault::BadValue)),
            ("22021", Some(Fault::BadValue)),
            ("23505", None),
            ("42601", None),
        ] {
            assert_eq!(of_sqlstate(code), fault, "{code}");
        }
        let error = anyhow::Error::from(super::super::failed("find a user")(sqlx::Error::PoolTimedOut)).context("x");
        assert_eq!(Fault::behind(&error), Some(Fault::Unavailable));
        assert_eq!(Fault::behind(&anyhow::anyhow!("x")), None);
    }
}
