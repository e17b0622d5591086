//! Request paths: the form that is forwarded and the form that routes are matched on. Pure.
//!
//! Both come from one normalisation, so that a request is never matched as one path and forwarded as another.

use std::borrow::Cow;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("the request target is neither a path nor an http URL")]
    Form,
    #[error("the path holds a character that it must not hold")]
    Character,
    #[error("the path holds a percent escape that is not UTF-8")]
    Escape,
}

/// A request target in parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct RequestTarget<'a> {
    /// The authority of an absolute-form target; it replaces the `Host` field (RFC 9112 section 3.2.2).
    pub(crate) authority: Option<&'a str>,
    /// The path with `.` and `..` resolved and every other byte as it came.
    pub(crate) path: Cow<'a, str>,
    /// The query with its question mark, or nothing.
    pub(crate) query: &'a str,
}

/// Splits and normalises a request target in origin or absolute form.
pub(crate) fn parse_target(target: &str) -> Result<RequestTarget<'_>, PathError> {
    let (authority, rest) = split_authority(target)?;
    let (path, query) = split_query(rest);
    let path = if path.is_empty() && authority.is_some() { "/" } else { path };
    if !path.starts_with('/') {
        return Err(PathError::Form);
    }
    if memchr::memchr2(b'\\', b'#', path.as_bytes()).is_some() || memchr::memchr(b'#', query.as_bytes()).is_some() {
        return Err(PathError::Character);
    }
    let path = if has_dot_segment(path) { Cow::Owned(resolve_dots(path)) } else { Cow::Borrowed(path) };
    Ok(RequestTarget { authority, path, query })
}

/// Decodes percent escapes, strictly: two hexadecimal digits each, UTF-8 in all, and no NUL.
pub(crate) fn decode(path: &str) -> Result<Cow<'_, str>, PathError> {
    let bytes = path.as_bytes();
    let Some(first) = memchr::memchr(b'%', bytes) else {
        return Ok(Cow::Borrowed(path));
    };
    let well_formed = memchr::memchr_iter(b'%', &bytes[first..]).all(|offset| {
        let digits = bytes.get(first + offset + 1..first + offset + 3);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    });
    let decoded = percent_encoding::percent_decode(bytes).decode_utf8().map_err(|_| PathError::Escape)?;
    if !well_formed {
        return Err(PathError::Escape);
    }
    if decoded.contains('\0') {
        return Err(PathError::Character);
    }
    Ok(decoded)
}

fn split_authority(target: &str) -> Result<(Option<&str>, &str), PathError> {
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let after_scheme = ["http://", "https://"]
        .iter()
        .find_map(|scheme| {
            target.get(..scheme.len()).filter(|s| s.eq_ignore_ascii_case(scheme)).map(|_| &target[scheme.len()..])
        })
        .ok_or(PathError::Form)?;
    let end = after_scheme.find(['/', '?', '#']).unwrap_or(after_scheme.len());
    Ok((Some(&after_scheme[..end]), &after_scheme[end..]))
}

pub(crate) fn split_query(target: &str) -> (&str, &str) {
    match memchr::memchr(b'?', target.as_bytes()) {
        Some(at) => target.split_at(at),
        None => (target, ""),
    }
}

fn has_dot_segment(path: &str) -> bool {
    let bytes = path.as_bytes();
    memchr::memchr2_iter(b'.', b'%', bytes).any(|at| at > 0 && bytes[at - 1] == b'/') && path.split('/').any(is_dots)
}

fn is_dots(segment: &str) -> bool {
    dots(segment).is_some()
}

/// 1 for `.`, 2 for `..`, in any mixture of escaped and plain dots.
fn dots(segment: &str) -> Option<usize> {
    let (mut rest, mut count) = (segment, 0);
    while !rest.is_empty() {
        rest = rest
            .strip_prefix('.')
            .or_else(|| rest.strip_prefix("%2e"))
            .or_else(|| rest.strip_prefix("%2E"))
            .filter(|_| count < 2)?;
        count += 1;
    }
    (count > 0).then_some(count)
}

/// Resolves dot segments as a browser does (WHATWG URL, path state): a final one leaves its slash.
fn resolve_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match dots(segment) {
            Some(count) => {
                if count == 2 {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            None => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_split_and_normalised() {
        for (target, authority, path, query) in [
            ("/", None, "/", ""),
            ("/a/b?c=d", None, "/a/b", "?c=d"),
            ("/user/a/../b/", None, "/user/b/", ""),
            ("/user/a/%2e%2E/b", None, "/user/b", ""),
            ("/user/a/.%2e/b", None, "/user/b", ""),
            ("/user/a/./b", None, "/user/a/b", ""),
            ("/user/a;/..", None, "/user/", ""),
            ("/user/a/..", None, "/user/", ""),
            ("/../../a", None, "/a", ""),
            ("/user/%252e%252e/b", None, "/user/%252e%252e/b", ""),
            ("/user/.../b", None, "/user/.../b", ""),
            ("/.hidden", None, "/.hidden", ""),
            ("//user/b", None, "//user/b", ""),
            ("/a%2F..%2Fb", None, "/a%2F..%2Fb", ""),
            ("/a?b=../c", None, "/a", "?b=../c"),
            ("http://host:1/a?b", Some("host:1"), "/a", "?b"),
            ("HTTP://host", Some("host"), "/", ""),
            ("https://host?b", Some("host"), "/", "?b"),
        ] {
            let expected = RequestTarget { authority, path: path.into(), query };
            assert_eq!(parse_target(target), Ok(expected), "{target}");
        }
    }

    #[test]
    fn odd_targets_are_refused() {
        for target in ["", "a", "*", "ftp://host/", "/a\\b", "/a#b", "/a?b#c", "/a\\..\\b", "file:///etc/passwd"] {
            assert!(parse_target(target).is_err(), "{target:?}");
        }
    }

    #[test]
    fn escapes_decode_strictly() {
        for (path, decoded) in [
            ("/user/foo%40bar", "/user/foo@bar"),
            ("/user/foo@bar", "/user/foo@bar"),
            ("/%C3%A9", "/é"),
            ("/é", "/é"),
            ("/%252e", "/%2e"),
            ("/a+b", "/a+b"),
        ] {
            assert_eq!(decode(path).as_deref(), Ok(decoded), "{path}");
        }
        for path in ["/%", "/%4", "/%zz", "/%00", "/%c0%ae", "/%ff", "/a%2", "/%%41"] {
            assert!(decode(path).is_err(), "{path}");
        }
    }
}
