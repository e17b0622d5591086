//! Who is let in: as many connections as there are files for, and of one client no more than its share.
//!
//! A connection may take two files, the client's and its target's. Some are kept back, so that the REST API, the metrics and
//! the snapshot go on whatever comes in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::headers::is_trusted;

/// Files for everything but people's connections.
const KEPT_BACK: u64 = 64;
/// Of an address of version 6 a client has as many as fit behind this (RFC 6177).
const CLIENT_PREFIX: u8 = 64;

/// Places for connections.
#[derive(Debug)]
pub(crate) struct Admission {
    places: usize,
    per_client: Option<usize>,
    /// Proxies in front, which come for many.
    trusted: Vec<IpNet>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    client: Option<IpAddr>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("there are too many connections; try again soon")]
    Full,
    #[error("there are too many connections from this address")]
    Client,
}

/// Takes as many files as the process may have: the usual 1,024 are few for a proxy, and nothing here minds higher numbers.
pub fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "failed to raise the limit of open files");
    }
}

impl Admission {
    /// By the limit of open files as it is now.
    pub(crate) fn new(per_client: Option<usize>, trusted: &[IpNet]) -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let places = usize::try_from(files.saturating_sub(KEPT_BACK) / 2).unwrap_or(usize::MAX);
        Self::with(places.max(1), per_client, trusted)
    }

    fn with(places: usize, per_client: Option<usize>, trusted: &[IpNet]) -> Self {
        Self { places, per_client, trusted: trusted.to_owned(), taken: Mutex::default() }
    }

    pub(crate) fn admit(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Place, Refusal> {
        let client = peer.filter(|peer| self.per_client.is_some() && !is_trusted(*peer, &self.trusted)).map(client_of);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= self.places {
            return Err(Refusal::Full);
        }
        if let Some(client) = client {
            let own = taken.by_client.entry(client).or_default();
            if self.per_client.is_some_and(|most| *own >= most) {
                return Err(Refusal::Client);
            }
            *own += 1;
        }
        taken.all += 1;
        Ok(Place { admission: self.clone(), client })
    }

    /// How many connections have a place.
    pub(crate) fn taken(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.admission.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(client) = self.client {
            match taken.by_client.get_mut(&client) {
                Some(own) if *own > 1 => *own -= 1,
                _ => {
                    taken.by_client.remove(&client);
                }
            }
        }
    }
}

/// The address by which a client is known.
fn client_of(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        peer @ IpAddr::V4(_) => peer,
        peer @ IpAddr::V6(_) => IpNet::new(peer, CLIENT_PREFIX).map_or(peer, |net| net.network()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn there_are_only_so_many_places() {
        let admission = Arc::new(Admission::with(2, None, &[]));
        let first = admission.admit(address("192.0.2.1")).unwrap();
        let _second = admission.admit(None).unwrap();
        assert_eq!(admission.admit(address("192.0.2.2")).unwrap_err(), Refusal::Full);
        drop(first);
        assert!(admission.admit(address("192.0.2.2")).is_ok());
    }

    #[test]
    fn a_client_has_its_share_and_proxies_in_front_have_no_limit() {
        let admission = Arc::new(Admission::with(100, Some(2), &["10.0.0.0/8".parse().unwrap()]));
        let of_one: Vec<_> = ["2001:db8::1", "2001:db8::2"].map(|peer| admission.admit(address(peer)).unwrap()).into();
        assert_eq!(admission.admit(address("2001:db8::3")).unwrap_err(), Refusal::Client);
        let another = admission.admit(address("2001:db8:0:1::1")).unwrap();
        let in_front: Vec<_> = (0..9).map(|_| admission.admit(address("::ffff:10.1.2.3")).unwrap()).collect();
        let sockets: Vec<_> = (0..9).map(|_| admission.admit(None).unwrap()).collect();
        drop((of_one, another, in_front, sockets));
        let taken = admission.taken.lock().unwrap();
        assert!(taken.all == 0 && taken.by_client.is_empty(), "{taken:?}");
    }
}
