//! Whether a request that a browser sent with the cookie was meant by the person: pages of other origins can make the
//! browser send requests, and the program behind the guard may have no protection of its own. Pure.

use crate::head::Head;

/// Why the cookie does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Distrust {
    #[error("The request comes from a page of another site.")]
    OtherOrigin,
    #[error("A page of another site shows this one in a frame.")]
    Framed,
    #[error("The request changes something, and the browser does not say which page it comes from.")]
    UnknownOrigin,
    #[error("WebSockets need a token in the address or in the Authorization header here.")]
    WebSocket,
}

/// Whether a cookie may vouch for this request. `public_origin` is ours beside the host that was asked for.
pub(super) fn check(head: &Head<'_>, public_origin: Option<&str>, websockets: bool) -> Result<(), Distrust> {
    if head.is_websocket && !websockets {
        return Err(Distrust::WebSocket);
    }
    match is_own(head, public_origin) {
        Some(true) => Ok(()),
        // A link from elsewhere. In a frame, clicks would be led astray.
        Some(false) if head.is_read_only() && head.fetch_mode == Some("navigate") => match head.fetch_dest {
            Some("iframe" | "frame" | "embed" | "object" | "fencedframe") => Err(Distrust::Framed),
            _ => Ok(()),
        },
        Some(false) => Err(Distrust::OtherOrigin),
        // Browsers name the origin of every WebSocket, and of every request of another origin that changes something.
        None if head.is_read_only() || head.is_websocket => Ok(()),
        None => Err(Distrust::UnknownOrigin),
    }
}

/// Whether nothing says that a page of another origin made the request.
pub(super) fn is_ours(head: &Head<'_>, public_origin: Option<&str>) -> bool {
    is_own(head, public_origin) != Some(false)
}

/// Whether one of our own pages, or the person themselves, made the request; `None` if nothing says.
fn is_own(head: &Head<'_>, public_origin: Option<&str>) -> Option<bool> {
    match (head.fetch_site, head.origin) {
        (Some(site), _) => Some(matches!(site, "same-origin" | "none")),
        (None, Some(origin)) => {
            Some(public_origin.is_some_and(|own| own.eq_ignore_ascii_case(origin)) || is_asked_host(head, origin))
        }
        (None, None) => None,
    }
}

/// Whether the origin is the host that was asked for.
fn is_asked_host(head: &Head<'_>, origin: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    // That TLS ends in front of us may not be known; that it doesn't, is.
    let scheme_fits = scheme.eq_ignore_ascii_case("https") || !head.is_secure;
    scheme_fits && head.host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head<'a>(method: &'a str, site: Option<&'a str>, mode: Option<&'a str>, origin: Option<&'a str>) -> Head<'a> {
        Head {
            method,
            path: "/user/alice/",
            host: Some("hub.test:8000"),
            fetch_site: site,
            fetch_mode: mode,
            origin,
            ..Head::default()
        }
    }

    /// Attack rows 39 and 41.
    #[test]
    fn which_requests_a_cookie_vouches_for() {
        let (own, other) = (Some("http://hub.test:8000"), Some("http://evil.test"));
        let (cross, sibling, same) = (Some("cross-site"), Some("same-site"), Some("same-origin"));
        let (navigate, cors, no_cors) = (Some("navigate"), Some("cors"), Some("no-cors"));
        let fine = Ok(());
        let (elsewhere, unknown) = (Err(Distrust::OtherOrigin), Err(Distrust::UnknownOrigin));
        for (method, site, mode, origin, expected) in [
            ("GET", cross, navigate, None, fine),
            ("HEAD", sibling, navigate, None, fine),
            ("GET", Some("none"), navigate, None, fine),
            ("GET", same, cors, None, fine),
            ("GET", cross, no_cors, None, elsewhere),
            ("GET", sibling, cors, other, elsewhere),
            ("GET", sibling, None, None, elsewhere),
            ("POST", same, cors, own, fine),
            ("POST", same, navigate, own, fine),
            ("POST", Some("none"), navigate, None, fine),
            ("POST", cross, navigate, other, elsewhere),
            ("POST", sibling, navigate, own, elsewhere),
            ("DELETE", cross, cors, other, elsewhere),
            // Browsers on connections that they don't trust, old ones, and programs.
            ("GET", None, None, None, fine),
            ("GET", None, None, own, fine),
            ("GET", None, None, other, elsewhere),
            ("POST", None, None, own, fine),
            ("POST", None, None, Some("https://HUB.test:8000"), fine),
            ("POST", None, None, other, elsewhere),
            ("POST", None, None, Some("null"), elsewhere),
            ("POST", None, None, Some("http://hub.test"), elsewhere),
            ("POST", None, None, Some("http://hub.test:8000.evil.test"), elsewhere),
            ("POST", None, None, Some("http://evil.test/http://hub.test:8000"), elsewhere),
            ("POST", None, None, None, unknown),
            ("PUT", None, None, None, unknown),
            ("BREW", None, None, None, unknown),
        ] {
            let found = check(&head(method, site, mode, origin), None, true);
            assert_eq!(found, expected, "{method} {site:?} {mode:?} {origin:?}");
        }
    }

    /// Attack row 41.
    #[test]
    fn websockets_are_only_opened_by_our_own_pages() {
        let open = |site, origin| {
            let head = Head { is_websocket: true, ..head("GET", site, Some("websocket"), origin) };
            [true, false].map(|websockets| check(&head, None, websockets))
        };
        let never = Err(Distrust::WebSocket);
        assert_eq!(open(None, Some("http://hub.test:8000")), [Ok(()), never]);
        assert_eq!(open(None, Some("http://evil.test")), [Err(Distrust::OtherOrigin), never]);
        assert_eq!(open(Some("same-site"), Some("http://hub.test:8000")), [Err(Distrust::OtherOrigin), never]);
        assert_eq!(open(None, None), [Ok(()), never], "a program, which sets cookies of its own will");
    }

    /// Attack row 42.
    #[test]
    fn pages_of_others_show_ours_in_no_frame() {
        for dest in ["iframe", "frame", "embed", "object"] {
            let framed = |site| {
                let head = head("GET", Some(site), Some("navigate"), None);
                check(&Head { fetch_dest: Some(dest), ..head }, None, true)
            };
            assert_eq!(framed("cross-site"), Err(Distrust::Framed), "{dest}");
            assert_eq!(framed("same-site"), Err(Distrust::Framed), "{dest}");
            assert_eq!(framed("same-origin"), Ok(()), "{dest}");
        }
    }

    #[test]
    fn the_public_address_is_ours_and_an_unencrypted_one_is_not_if_ours_is_encrypted() {
        let public = Some("https://hub.example.org");
        let post = |origin, is_secure| check(&Head { is_secure, ..head("POST", None, None, origin) }, public, true);
        assert_eq!(post(public, false), Ok(()));
        assert_eq!(post(Some("http://hub.test:8000"), false), Ok(()));
        assert_eq!(post(Some("http://hub.test:8000"), true), Err(Distrust::OtherOrigin));
        assert_eq!(post(Some("http://hub.example.org"), true), Err(Distrust::OtherOrigin));
    }
}
