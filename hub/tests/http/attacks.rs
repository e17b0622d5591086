//! What attackers try, and what comes of it. Each test names its row of the attack table or its advisory.

mod cookies;
mod forms;
mod guessing;
mod input;
mod load;
pub(crate) mod log;
mod metrics;
mod oauth;
mod passwords;
mod provider;
mod redirects;
mod rights;
mod secrets;

pub(crate) use log::Log;
