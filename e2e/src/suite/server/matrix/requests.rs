//! What every visitor asks for.

/// A request without what the visitor proves itself with. `{origin}` in a header is the server's own.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// With the `_xsrf` cookie of the server's pages, and the same in `X-XSRFToken`.
    pub(super) xsrf: bool,
    pub(super) json: Option<&'static str>,
}

impl Request {
    fn has(&self, header: (&str, &str)) -> bool {
        self.headers.contains(&header)
    }

    /// Whether a person's browser opens a page.
    pub(super) fn is_navigation(&self) -> bool {
        self.method == "GET" && self.has(("Sec-Fetch-Mode", "navigate"))
    }

    pub(super) fn is_websocket(&self) -> bool {
        self.has(("Upgrade", "websocket"))
    }
}

const NAVIGATION: &[(&str, &str)] =
    &[("Accept", "text/html,*/*;q=0.8"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
const SCRIPT: &[(&str, &str)] =
    &[("Accept", "*/*"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "same-origin"), ("Referer", "{origin}/lab")];
const WEBSOCKET: &[(&str, &str)] = &[
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Origin", "{origin}"),
];
/// Another site, and the name under which DNS rebinding would reach this one.
pub(super) const FOREIGN: &str = "http://evil.example";
const FOREIGN_HOST: &str = "evil.example";

const NEW_FILE: &str = r#"{"type": "file"}"#;

const fn get(name: &'static str, path: &'static str, headers: &'static [(&'static str, &'static str)]) -> Request {
    Request { name, method: "GET", path, headers, xsrf: false, json: None }
}

const fn write(name: &'static str, xsrf: bool, headers: &'static [(&'static str, &'static str)]) -> Request {
    Request { name, method: "POST", path: "/api/contents", headers, xsrf, json: Some(NEW_FILE) }
}

pub(super) const REQUESTS: &[Request] = &[
    get("page", "/lab", NAVIGATION),
    get("page with query", "/lab?reset&a=b%20c", NAVIGATION),
    get("root", "/", NAVIGATION),
    get("tree", "/tree", NAVIGATION),
    get("login page", "/login?next=%2Flab%2Ftree", NAVIGATION),
    get("login page to elsewhere", "/login?next=%2F%2Fevil.example%2Flab", NAVIGATION),
    get("logout", "/logout", NAVIGATION),
    get("missing page", "/no/such/page", NAVIGATION),
    get("file", "/files/notes.txt", NAVIGATION),
    get("static", "/static/favicon.ico", NAVIGATION),
    Request { method: "HEAD", ..get("head", "/lab", NAVIGATION) },
    get("version", "/api", SCRIPT),
    get("read", "/api/contents", SCRIPT),
    get("read by a program", "/api/contents", &[]),
    get("status", "/api/status", SCRIPT),
    get("whoami", "/api/me", SCRIPT),
    get("metrics", "/metrics", &[]),
    get("missing api", "/api/no-such", SCRIPT),
    write("write", false, SCRIPT),
    write("write by a program", false, &[]),
    write("write with XSRF token", true, SCRIPT),
    write("foreign write", false, &[("Origin", FOREIGN), ("Sec-Fetch-Site", "cross-site")]),
    write("foreign write with XSRF token", true, &[("Origin", FOREIGN), ("Sec-Fetch-Site", "cross-site")]),
    get("foreign read", "/api/contents", &[("Origin", FOREIGN), ("Sec-Fetch-Site", "cross-site")]),
    get(
        "foreign link",
        "/lab",
        &[("Referer", FOREIGN), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate")],
    ),
    Request {
        method: "OPTIONS",
        ..get(
            "preflight",
            "/api/contents",
            &[("Origin", FOREIGN), ("Access-Control-Request-Method", "POST"), ("Sec-Fetch-Mode", "cors")],
        )
    },
    get("WebSocket", "/api/events/subscribe", WEBSOCKET),
    get(
        "WebSocket of a program",
        "/api/events/subscribe",
        &[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ],
    ),
    get(
        "foreign WebSocket",
        "/api/events/subscribe",
        &[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("Origin", FOREIGN),
        ],
    ),
    get("rebound page", "/lab", &[("Host", FOREIGN_HOST), ("Sec-Fetch-Mode", "navigate")]),
    get("rebound read", "/api/contents", &[("Host", FOREIGN_HOST), ("Origin", FOREIGN)]),
];

/// The login form, sent.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) name: &'static str,
    /// As it stands in the form's address.
    pub(super) next: &'static str,
    /// With the `_xsrf` cookie and the form's hidden field.
    pub(super) xsrf: bool,
    pub(super) origin: Option<&'static str>,
}

const fn to(name: &'static str, next: &'static str) -> Login {
    Login { name, next, xsrf: true, origin: Some("{origin}") }
}

pub(super) const LOGINS: &[Login] = &[
    to("to a page", "%2Flab%2Ftree%2Fa%3Fb%3Dc"),
    to("to nowhere", ""),
    to("to another host", "%2F%2Fevil.example%2Flab"),
    to("to another host by backslash", "%2F%5Cevil.example%2Flab"),
    to("to another site", "http%3A%2F%2Fevil.example%2Flab"),
    to("to another site by one slash", "http%3A%2Fevil.example%2Flab"),
    to("to a script", "javascript%3Aalert(1)"),
    to("to a relative path", "lab"),
    Login { xsrf: false, ..to("without XSRF token", "%2Flab") },
    Login { origin: Some(FOREIGN), ..to("from another site", "%2Flab") },
    Login { origin: None, ..to("by a program", "%2Flab") },
];
