//! A request as the program behind gets it: without what let it in. Pure.

use hub_proxy::Passage;
use std::borrow::Cow;

use crate::head::{Head, without_token};

/// The name of Jupyter's cookie against cross-site requests.
pub(crate) const XSRF: &str = "_xsrf";
/// Stands in for it where a token was seen, which no other site knows: the program need not check again.
const CHECKED: &str = "checked-by-the-front";

/// Where what lets a request in came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `?token=`
    Query,
    /// `Authorization`
    Header,
    /// A cookie.
    Cookie,
}

/// The request for the program. `is_ours` says which cookies are none of its business, and `login` is the one that it
/// must not set.
///
/// One with a token was made by no other site's page, so what a program would look for in that case is answered for it.
pub(crate) fn passage(head: &Head<'_>, source: Source, is_ours: impl Fn(&str) -> bool, login: String) -> Passage {
    let mut passage = Passage::default();
    passage.answer.guarded_cookie = Some(login);
    if source == Source::Cookie {
        if let Cow::Owned(rest) = without(&head.cookies, &is_ours) {
            passage.fields.push(("cookie", Some(rest).filter(|rest| !rest.is_empty())));
        }
        return passage;
    }
    // Wherever else a token is: it opens more than this program.
    passage.query = head.query_token().map(|_| without_token(head.query));
    if head.header_token().is_some() {
        passage.fields.push(("authorization", None));
    }
    let rest = without(&head.cookies, |name| name == XSRF || is_ours(name));
    let separator = if rest.is_empty() { "" } else { "; " };
    passage.fields.push(("cookie", Some(format!("{rest}{separator}{XSRF}={CHECKED}"))));
    passage.fields.push(("x-xsrftoken", Some(CHECKED.to_owned())));
    passage
}

/// A `Cookie` header without some of its cookies; borrowed if it has none of them.
fn without(cookies: &str, is_taken: impl Fn(&str) -> bool) -> Cow<'_, str> {
    let is_taken = |pair: &str| is_taken(pair.split('=').next().unwrap_or_default().trim());
    if !cookies.split(';').any(is_taken) {
        return Cow::Borrowed(cookies);
    }
    let mut rest = String::with_capacity(cookies.len());
    for pair in cookies.split(';').filter(|pair| !is_taken(pair)) {
        if !rest.is_empty() {
            rest.push_str("; ");
        }
        rest.push_str(pair.trim());
    }
    Cow::Owned(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_cookies_are_taken_out() {
        for (cookies, rest) in [
            ("a=1; login=x; b=2", "a=1; b=2"),
            ("login=x", ""),
            ("login=x;login=y; a=1", "a=1"),
            ("xlogin=1; login2=2", "xlogin=1; login2=2"),
            ("", ""),
        ] {
            assert_eq!(without(cookies, |name| name == "login"), rest, "{cookies}");
        }
    }

    #[test]
    fn a_request_with_a_token_needs_no_other_check() {
        let head = Head { query: "a=1&token=t", cookies: "login=x; _xsrf=y; b=2".into(), ..Head::default() };
        let by_query = passage(&head, Source::Query, |name| name == "login", "login".to_owned());
        assert_eq!(by_query.query.as_deref(), Some("a=1"));
        let checked =
            [("cookie", Some("b=2; _xsrf=checked-by-the-front".to_owned())), ("x-xsrftoken", Some(CHECKED.to_owned()))];
        assert_eq!(by_query.fields, checked);
        let both = Head { authorization: Some("token t"), ..head.clone() };
        for source in [Source::Query, Source::Header] {
            let passed = passage(&both, source, |name| name == "login", "login".to_owned());
            assert_eq!((passed.query.as_deref(), &passed.fields[0]), (Some("a=1"), &("authorization", None)));
            assert_eq!(passed.fields[1..], checked);
        }
        let by_cookie = passage(&head, Source::Cookie, |name| name == "login", "login".to_owned());
        assert_eq!(by_cookie.fields, [("cookie", Some("_xsrf=y; b=2".to_owned()))]);
        assert_eq!(by_cookie.answer.guarded_cookie.as_deref(), Some("login"));
    }
}
