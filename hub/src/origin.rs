//! Where what the hub is doing at this moment comes from: the request that asked for it, for the lines that are logged on
//! the way. It goes with the request's task, so that no rule has to hand it on.

use axum::http::{HeaderMap, HeaderName};
use std::net::IpAddr;

/// The proxy gives each request one, and the answer says it, so that a person can name it who asks what went wrong.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// No id that a load balancer makes is longer.
const LONGEST_ID: usize = 64;

tokio::task_local! {
    static ORIGIN: Origin;
}

/// A request, as logs tell it from others.
#[derive(Clone, Debug)]
pub struct Origin {
    pub request_id: String,
    /// Who sent it, if the proxy told.
    pub address: Option<IpAddr>,
}

impl Origin {
    /// What the request that is answered at this moment comes from. `None`: nobody asked, or a command in the hub's pod did.
    pub fn current() -> Option<Self> {
        ORIGIN.try_with(Clone::clone).ok()
    }

    /// Whatever `work` does comes from here, but for tasks that it begins.
    pub async fn of<T>(self, work: impl Future<Output = T>) -> T {
        ORIGIN.scope(self, work).await
    }
}

/// The id that a request brings, if it is one that a log line can hold.
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    ((1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(fits)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_short_and_has_nothing_that_a_line_could_be_forged_with() {
        for (id, is_one) in [
            ("0123456789abcdef", true),
            ("9f86d081-884c-4d63-a1e8-2b1b3b1b3b1b", true),
            ("Root=1-67891233-abcdef012345678912345678", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("a\tb", false),
        ] {
            let headers = HeaderMap::from_iter([(REQUEST_ID, id.parse().unwrap())]);
            assert_eq!(request_id(&headers), is_one.then_some(id), "{id:?}");
        }
        let long = "a".repeat(LONGEST_ID + 1);
        assert_eq!(request_id(&HeaderMap::from_iter([(REQUEST_ID, long.parse().unwrap())])), None);
        assert_eq!(request_id(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn what_is_done_for_a_request_knows_it_and_nothing_else_does() {
        let origin = Origin { request_id: "r1".to_owned(), address: None };
        let inside = origin.of(async { Origin::current().map(|origin| origin.request_id) }).await;
        assert_eq!(inside.as_deref(), Some("r1"));
        assert!(Origin::current().is_none());
    }
}
