//! The audit log: one line for each login and for each use of power over somebody's account, server or token, of the target
//! `audit`, whichever level the rest of the log has. No secret is in it, and what somebody typed is bounded and escaped.
//!
//! Each line has what happened (`event`), whose account it is about (`user`), how it ended (`outcome`: `success`, `failure`,
//! `refused` or `begun`) and why (`reason`). Where it applies it has who did it (`actor`), to what (`object`), to how many
//! (`count`), from where (`address`) and by which request (`request_id`).

use std::{fmt::Display, net::IpAddr};

use crate::{loggable::loggable, origin::Origin, session::Identity};

/// Somebody at the door, or on the way out.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// Known; or, of a login that fails, typed by anybody; empty if a token came without a name.
    pub user: &'a str,
    pub address: Option<IpAddr>,
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

    /// Who came back from a provider may not come in, or can't be believed.
    pub fn turned_away(&self, reason: &'static str) {
        self.write(&loggable(self.user), "login", "failure", reason);
    }

    /// The provider says that somebody is no longer logged in.
    pub fn ended(&self, reason: &'static str) {
        self.write(self.user, "logout", "success", reason);
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
        let address = self.address.map_or_else(|| "unknown".to_owned(), |address| address.to_string());
        let request_id = Origin::current().map(|origin| origin.request_id);
        tracing::info!(target: "audit", event, user, address, request_id, outcome, reason);
    }
}

/// What the log calls this hub where it acts of its own accord.
pub const THE_HUB: &str = "the hub";

/// What the log calls the sender of a request.
pub fn name_of(actor: &Identity) -> String {
    match actor.user() {
        Some(user) => user.name.clone(),
        None => format!("service {}", actor.name()),
    }
}

/// What somebody does to an account, a server or a token, or is not let do.
#[derive(Clone, Debug)]
#[must_use = "it is written by `done` or `refused`"]
pub struct Act<'a> {
    event: &'static str,
    actor: String,
    user: Option<&'a str>,
    object: Option<String>,
    count: Option<u64>,
}

impl<'a> Act<'a> {
    /// Of the sender of a request.
    pub fn by(actor: &Identity, event: &'static str) -> Self {
        Self::of(&name_of(actor), event)
    }

    /// Of this hub's own accord.
    pub fn of_hub(event: &'static str) -> Self {
        Self::of(THE_HUB, event)
    }

    /// Of somebody, or of something, of that name.
    pub fn of(actor: &str, event: &'static str) -> Self {
        Self { event, actor: actor.to_owned(), user: None, object: None, count: None }
    }

    /// Whose account, server or token it is about.
    pub fn on(self, user: &'a str) -> Self {
        Self { user: Some(user), ..self }
    }

    /// What it is about: an id or a name.
    pub fn object(self, object: impl Display) -> Self {
        Self { object: Some(object.to_string()), ..self }
    }

    /// How many it is about.
    pub fn count(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    pub fn done(self, reason: &'static str) {
        self.write("success", reason);
    }

    pub fn refused(self, reason: &'static str) {
        self.write("refused", reason);
    }

    fn write(&self, outcome: &'static str, reason: &'static str) {
        let (request_id, address) = match Origin::current() {
            Some(Origin { request_id, address }) => (Some(request_id), address.map(|address| address.to_string())),
            None => (None, None),
        };
        let Self { event, actor, user, object, count } = self;
        tracing::info!(target: "audit", event, user, actor, object, count, address, request_id, outcome, reason);
    }
}
