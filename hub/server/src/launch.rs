//! The one-time launch token: an additional token for the browser that the server opens itself (S10 to S13).

use hub_auth::token::equal;
use secrecy::{ExposeSecret, SecretString};
use std::{
    sync::Mutex,
    time::{Duration, Instant},
};

/// How long a browser may take to start.
pub(crate) const LIFETIME: Duration = Duration::from_secs(300);

/// A token that works once, and only for a while.
#[derive(Debug)]
pub(crate) struct LaunchToken {
    token: SecretString,
    /// Until when it works; `None` once it is spent.
    until: Mutex<Option<Instant>>,
}

impl LaunchToken {
    /// 48 hexadecimal characters, as the server's own token has.
    pub(crate) fn new(random: [u8; 24], now: Instant) -> Self {
        Self { token: hex::encode(random).into(), until: Mutex::new(Some(now + LIFETIME)) }
    }

    /// The token, for the file that the browser opens.
    pub(crate) fn token(&self) -> &SecretString {
        &self.token
    }

    /// Whether this is the token, spent or not.
    pub(crate) fn is(&self, given: &str) -> bool {
        equal(self.token.expose_secret(), given)
    }

    /// Spends the token: true for the first who brings it in time, and for nobody after that.
    pub(crate) fn spend(&self, given: &str, now: Instant) -> bool {
        if !self.is(given) {
            return false;
        }
        let mut until = self.until.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        until.take().is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_launch_token_works_once_s11() {
        let start = Instant::now();
        let launch = LaunchToken::new([7; 24], start);
        let token = launch.token().expose_secret().to_owned();
        assert_eq!(token.len(), 48);
        assert!(!launch.spend("07", start) && !launch.spend("", start), "another token spends nothing");
        assert!(launch.spend(&token, start));
        assert!(!launch.spend(&token, start), "it is gone after its first use (S13)");
        assert!(launch.is(&token));
    }

    #[test]
    fn of_twenty_simultaneous_uses_one_succeeds_s11() {
        let start = Instant::now();
        for round in 0..50 {
            let launch = LaunchToken::new([round; 24], start);
            let token = launch.token().expose_secret().to_owned();
            let succeeded = thread::scope(|scope| {
                let uses: Vec<_> = (0..20).map(|_| scope.spawn(|| launch.spend(&token, start))).collect();
                uses.into_iter().map(|attempt| usize::from(attempt.join().unwrap())).sum::<usize>()
            });
            assert_eq!(succeeded, 1);
        }
    }

    #[test]
    fn an_unused_launch_token_expires() {
        let start = Instant::now();
        let launch = LaunchToken::new([7; 24], start);
        let token = launch.token().expose_secret().to_owned();
        assert!(!launch.spend(&token, start + LIFETIME));
    }
}
