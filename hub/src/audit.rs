//! The audit log: one line for each login and what else must be accounted for, of the target `audit`, whichever level the
//! rest of the log has. No secret is in it, and what somebody typed is bounded and escaped.

use std::net::IpAddr;

use crate::loggable::loggable;

/// Somebody at the door, or on the way out.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// Known; or, of a login that fails, typed by anybody; empty if a token came without a name.
    pub user: &'a str,
    pub address: Option<IpAddr>,
}

/// Whose account somebody changes: passwords, sessions, access.
#[derive(Clone, Copy, Debug)]
pub struct Account<'a> {
    pub user: &'a str,
    /// Who wants it: the user, an administrator, or a command.
    pub asker: &'a str,
    pub address: Option<IpAddr>,
}

impl Account<'_> {
    /// What it is that was changed, and what became of it.
    pub fn write(&self, event: &'static str, outcome: &'static str) {
        let Self { user, asker, address } = *self;
        let address = address_text(address);
        tracing::info!(target: "audit", event, user, asker, address, outcome);
    }
}

fn address_text(address: Option<IpAddr>) -> String {
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_string())
}

impl Person<'_> {
    /// Somebody has logged in: by what.
    pub fn logged_in(&self, by: &'static str) {
        self.write(self.user, "login", "success", by);
    }

    /// What was sent is nobody's password or token, or of somebody who may not come in.
    pub fn failed(&self) {
        self.write(&loggable(self.user), "login", "failure", "invalid credentials");
    }

    /// Further logins are refused for a while.
    pub fn locked_out(&self) {
        self.write(&loggable(self.user), "lockout", "begun", "too many failures");
    }

    /// A login that was not even looked at.
    pub fn refused(&self) {
        self.write(&loggable(self.user), "login", "refused", "too many failures");
    }

    pub fn logged_out(&self) {
        self.write(self.user, "logout", "success", "asked for");
    }

    fn write(&self, user: &str, event: &'static str, outcome: &'static str, reason: &'static str) {
        let address = address_text(self.address);
        tracing::info!(target: "audit", event, user, address, outcome, reason);
    }
}
