//! The table of cluster tests. Each is an `async fn(&Cluster) -> anyhow::Result<()>` in a module below; an error or a panic
//! fails it, [`skip`] skips it.

use std::{fmt, time::Duration};

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::cluster::Cluster;

mod smoke;

/// One test of the table.
pub struct Test {
    /// `module::function`, as `--only` sees it.
    pub name: &'static str,
    pub limit: Duration,
    /// Only with `--long`.
    pub long: bool,
    /// It disturbs others (kills the operator, say): it runs when no other does.
    pub alone: bool,
    pub run: fn(&Cluster) -> LocalBoxFuture<'_, Result<()>>,
}

/// `test!(module::function, SECONDS)`, with `alone` or `long` behind it.
macro_rules! test {
    ($path:path, $seconds:literal $(, $flag:ident)*) => {
        Test {
            $($flag: true,)*
            ..Test {
                name: stringify!($path),
                limit: Duration::from_secs($seconds),
                long: false,
                alone: false,
                run: |cluster| Box::pin($path(cluster)),
            }
        }
    };
}

/// Every cluster test, in the order in which they run.
pub fn tests() -> Vec<Test> {
    vec![
        test!(smoke::every_pod_is_ready_and_was_never_restarted, 30),
        test!(smoke::the_login_page_comes_through_the_proxy, 30),
    ]
}

/// Why a test did not run.
#[derive(Debug)]
pub struct Skipped(pub String);

impl fmt::Display for Skipped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Skipped {}

/// Ends a test without a verdict: `return skip("chromium is not installed")`.
pub fn skip(why: impl Into<String>) -> Result<()> {
    Err(Skipped(why.into()).into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique() {
        let tests = super::tests();
        assert_eq!(tests.iter().map(|test| test.name).collect::<BTreeSet<_>>().len(), tests.len());
    }
}
