//! `X-Request-Id`: names a request to the hub, in its log and in the proxy's. Requests to servers get none, since nobody
//! looks for them there.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};

use httparse::Header;

/// The field's name, in lower case.
pub(crate) const NAME: &str = "x-request-id";
/// No proxy's id is longer.
const LONGEST: usize = 64;

/// Makes ids, each another one. They are no secret, and tell nothing of how many there were.
#[derive(Debug, Default)]
pub(crate) struct RequestIds {
    keys: RandomState,
    made: AtomicU64,
}

impl RequestIds {
    /// The id of a request: that of a proxy in front which is believed, or a new one of 16 hexadecimal digits.
    pub(crate) fn of(&self, fields: &[Header<'_>], is_believed: bool) -> String {
        let mut given = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(NAME));
        match given.next().filter(|_| is_believed).and_then(|field| fitting(field.value)) {
            Some(id) => id.to_owned(),
            None => format!("{:016x}", self.keys.hash_one(self.made.fetch_add(1, Ordering::Relaxed))),
        }
    }
}

fn fitting(value: &[u8]) -> Option<&str> {
    let id = std::str::from_utf8(value).ok()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    ((1..=LONGEST).contains(&id.len()) && id.bytes().all(fits)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_believed_proxy_names_requests_and_nobody_else() {
        let ids = RequestIds::default();
        let of = |value: &[u8], is_believed| ids.of(&[Header { name: "X-Request-ID", value }], is_believed);
        assert_eq!(of(b"of-the-load-balancer", true), "of-the-load-balancer");
        let long = "a".repeat(LONGEST + 1);
        for (value, is_believed) in
            [(&b"of-a-client"[..], false), (b"", true), (b"a b", true), (b"\xff", true), (long.as_bytes(), true)]
        {
            let made = of(value, is_believed);
            assert!(made.len() == 16 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{value:?}: {made}");
        }
        assert_ne!(ids.of(&[], true), ids.of(&[], true));
    }
}
