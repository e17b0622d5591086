//! HTTP as tests speak it: whatever is answered is the answer.

use std::{net::IpAddr, time::Duration};

use anyhow::Result;
use reqwest::{Client, redirect::Policy};

/// A spawn that is asked for in a page answers at once; nothing else takes long either.
const REQUEST: Duration = Duration::from_secs(30);

/// Follows no redirects. It sends from an address, if one is given: any of 127.0.0.0/8 is this machine's.
pub(crate) fn client(address: Option<IpAddr>) -> Result<Client> {
    // The tests of this crate have no main function that does it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().redirect(Policy::none()).timeout(REQUEST).no_proxy();
    Ok(client.local_address(address).build()?)
}
