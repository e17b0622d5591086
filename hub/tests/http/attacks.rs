//! What attackers try, and what comes of it. Each test names its row of the attack table or its advisory.

mod cookies;
mod forms;
mod guessing;
mod input;
mod load;
mod log;
mod metrics;
mod oauth;
mod passwords;
mod redirects;
mod rights;
mod secrets;

pub(crate) use log::Log;
