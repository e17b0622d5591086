//! A browser's cookies for one host (RFC 6265, section 5): what is kept, and what is sent where. Ports don't separate
//! cookies, so a Hub that comes back on another port finds its visitors' cookies again.

use cookie::{Cookie, time::OffsetDateTime};

/// The cookies of one browser.
#[derive(Debug, Default)]
pub(in crate::suite) struct Jar {
    kept: Vec<Kept>,
    received: Vec<Cookie<'static>>,
}

#[derive(Debug)]
struct Kept {
    /// As it was sent, its value with quotes.
    cookie: Cookie<'static>,
    path: String,
}

impl Jar {
    /// Takes a `Set-Cookie` field of the answer to a request for `path`.
    pub(super) fn store(&mut self, path: &str, set_cookie: &str) {
        let Ok(cookie) = Cookie::parse(set_cookie) else { return };
        let scope = cookie.path().filter(|path| path.starts_with('/')).unwrap_or_else(|| default_path(path));
        self.kept.retain(|kept| kept.cookie.name() != cookie.name() || kept.path != scope);
        let cookie = cookie.clone().into_owned();
        if !is_over(&cookie) {
            self.kept.push(Kept { cookie: cookie.clone(), path: scope.to_owned() });
        }
        self.received.push(cookie);
    }

    /// The `Cookie` field of a request for `path`: the closest paths come first.
    pub(super) fn header(&self, path: &str) -> Option<String> {
        let sent: Vec<_> = self.sent(path).into_iter().map(|kept| kept.cookie.stripped().to_string()).collect();
        (!sent.is_empty()).then(|| sent.join("; "))
    }

    /// The value that a request for `path` would carry, without quotes.
    pub(in crate::suite) fn value(&self, name: &str, path: &str) -> Option<&str> {
        self.sent(path).into_iter().find(|kept| kept.cookie.name() == name).map(|kept| kept.cookie.value_trimmed())
    }

    /// Name and path of each cookie.
    pub(in crate::suite) fn names(&self) -> Vec<(&str, &str)> {
        self.kept.iter().map(|kept| (kept.cookie.name(), kept.path.as_str())).collect()
    }

    /// Every cookie of a name that ever came, oldest first, those that cleared one too.
    pub(in crate::suite) fn received(&self, name: &str) -> Vec<&Cookie<'static>> {
        self.received.iter().filter(|cookie| cookie.name() == name).collect()
    }

    /// Every cookie that ever came.
    pub(in crate::suite) fn all_received(&self) -> &[Cookie<'static>] {
        &self.received
    }

    /// The cookies of one name, as `Set-Cookie` fields.
    pub(super) fn set_cookies(&self, name: &str) -> Vec<String> {
        let kept = self.kept.iter().filter(|kept| kept.cookie.name() == name);
        kept.map(|kept| format!("{}; Path={}", kept.cookie.stripped(), kept.path)).collect()
    }

    fn sent(&self, path: &str) -> Vec<&Kept> {
        let mut sent: Vec<_> = self.kept.iter().filter(|kept| matches(&kept.path, path)).collect();
        sent.sort_by_key(|kept| std::cmp::Reverse(kept.path.len()));
        sent
    }
}

fn is_over(cookie: &Cookie<'_>) -> bool {
    match (cookie.max_age(), cookie.expires_datetime()) {
        (Some(age), _) => !age.is_positive(),
        (None, Some(end)) => end <= OffsetDateTime::now_utc(),
        (None, None) => false,
    }
}

/// RFC 6265, section 5.1.4: everything up to the last slash.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        Some(end) if end > 0 => &path[..end],
        _ => "/",
    }
}

/// RFC 6265, section 5.1.4: whole segments only.
fn matches(scope: &str, path: &str) -> bool {
    path.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || scope.ends_with('/') || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_goes_only_to_its_path_and_below() {
        let mut jar = Jar::default();
        jar.store("/hub/login", "a=1; Path=/hub/");
        jar.store("/user/ada/lab", "b=2; Path=/user/ada/");
        jar.store("/hub/login", "c=3; Path=/");
        assert_eq!(jar.header("/hub/home").unwrap(), "a=1; c=3");
        assert_eq!(jar.header("/user/ada/lab").unwrap(), "b=2; c=3");
        assert_eq!(jar.header("/user/adam/").unwrap(), "c=3");
    }

    #[test]
    fn the_closest_of_several_cookies_of_one_name_is_first() {
        let mut jar = Jar::default();
        jar.store("/", "_xsrf=far; Path=/");
        jar.store("/", "_xsrf=near; Path=/user/ada/");
        assert_eq!(jar.value("_xsrf", "/user/ada/api"), Some("near"));
        assert_eq!(jar.header("/user/ada/api").unwrap(), "_xsrf=near; _xsrf=far");
    }

    #[test]
    fn cookies_are_replaced_and_cleared_on_their_own_path_only() {
        let mut jar = Jar::default();
        jar.store("/", "a=\"2|1:0|x==\"; HttpOnly; Path=/hub/");
        jar.store("/", "a=new; Path=/hub/");
        jar.store("/", "a=\"\"; expires=Mon, 01 Jan 2024 00:00:00 GMT; Path=/");
        assert_eq!(jar.names(), [("a", "/hub/")]);
        jar.store("/", "a=; Max-Age=0; Path=/hub/");
        assert!(jar.header("/hub/").is_none());
        let received: Vec<_> = jar.received("a").iter().map(|cookie| cookie.http_only()).collect();
        assert_eq!(received, [Some(true), None, None, None]);
    }

    #[test]
    fn without_a_path_the_directory_of_the_request_counts() {
        let mut jar = Jar::default();
        jar.store("/user/ada/lab", "a=1");
        assert_eq!(jar.names(), [("a", "/user/ada")]);
        assert!(matches("/user/ada", "/user/ada") && !matches("/user/ada", "/user/adam"));
    }
}
