//! The routing trie: a value for each path, found by the longest prefix of whole segments. Pure.
//!
//! Paths are decoded before they come here (`@` and `%40` are one), and a table that routes by host has the host as
//! its first segment.

use std::collections::HashMap;

/// The longest route path as it is stored, in bytes.
const MAX_PATH: usize = 2048;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RoutePathError {
    #[error("a route's path must not be longer than 2048 bytes")]
    TooLong,
    #[error("a route's path must not hold empty, '.' or '..' segments")]
    Segment,
    #[error("a route's path must not hold control characters")]
    Control,
}

/// The form in which a route's path is stored: it begins with a slash and, but for the root, ends without one.
pub(crate) fn clean_path(path: &str) -> Result<String, RoutePathError> {
    if path.chars().any(char::is_control) {
        return Err(RoutePathError::Control);
    }
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = if inner == "/" { inner } else { inner.strip_suffix('/').unwrap_or(inner) };
    if !inner.is_empty() && inner.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(RoutePathError::Segment);
    }
    if inner.len() >= MAX_PATH {
        return Err(RoutePathError::TooLong);
    }
    Ok(format!("/{inner}"))
}

/// Values by path.
#[derive(Debug)]
pub(crate) struct Trie<T> {
    root: Node<T>,
    len: usize,
}

#[derive(Debug)]
struct Node<T> {
    value: Option<T>,
    children: HashMap<Box<str>, Node<T>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { value: None, children: HashMap::new() }
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Self { root: Node::default(), len: 0 }
    }
}

/// The segments of a stored path; the root has none.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    let inner = path.strip_prefix('/').unwrap_or(path);
    inner.split('/').take(if inner.is_empty() { 0 } else { usize::MAX })
}

impl<T> Trie<T> {
    /// Sets the value at a path that [`clean_path`] made; the previous one is returned.
    pub(crate) fn insert(&mut self, path: &str, value: T) -> Option<T> {
        let mut node = &mut self.root;
        for segment in segments(path) {
            node = node.children.entry(segment.into()).or_default();
        }
        let previous = node.value.replace(value);
        self.len += usize::from(previous.is_none());
        previous
    }

    /// The value at exactly this path.
    pub(crate) fn get(&self, path: &str) -> Option<&T> {
        let mut node = &self.root;
        for segment in segments(path) {
            node = node.children.get(segment)?;
        }
        node.value.as_ref()
    }

    /// Removes the value at exactly this path, and the branches that then lead nowhere.
    pub(crate) fn remove(&mut self, path: &str) -> Option<T> {
        let removed = remove_below(&mut self.root, &mut segments(path));
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// The value with the longest path that begins `path`, segment by segment, of those that `fits`.
    ///
    /// With a `host`, that is the first segment; the root's value remains the default.
    pub(crate) fn find(&self, host: Option<&str>, path: &str, fits: impl Fn(&T) -> bool) -> Option<&T> {
        let mut node = &self.root;
        let mut best = node.value.as_ref().filter(|value| fits(value));
        for segment in host.into_iter().chain(segments(path)) {
            match node.children.get(segment) {
                Some(child) => node = child,
                None => break,
            }
            best = node.value.as_ref().filter(|value| fits(value)).or(best);
        }
        best
    }

    /// Calls `visit` with every value, in no particular order.
    pub(crate) fn for_each<'a>(&'a self, visit: &mut impl FnMut(&'a T)) {
        visit_below(&self.root, visit);
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

fn remove_below<'p, T>(node: &mut Node<T>, path: &mut impl Iterator<Item = &'p str>) -> Option<T> {
    let Some(segment) = path.next() else {
        return node.value.take();
    };
    let child = node.children.get_mut(segment)?;
    let removed = remove_below(child, path);
    if child.value.is_none() && child.children.is_empty() {
        node.children.remove(segment);
    }
    removed
}

fn visit_below<'a, T>(node: &'a Node<T>, visit: &mut impl FnMut(&'a T)) {
    if let Some(value) = &node.value {
        visit(value);
    }
    node.children.values().for_each(|child| visit_below(child, visit));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[&'static str]) -> Trie<&'static str> {
        let mut trie = Trie::default();
        for path in paths {
            trie.insert(path, *path);
        }
        trie
    }

    #[test]
    fn the_longest_prefix_of_whole_segments_wins() {
        let trie = table(&["/", "/a", "/a/b/c", "/user/foo@bar"]);
        for (path, expected) in [
            ("/", "/"),
            ("/x", "/"),
            ("/a", "/a"),
            ("/a/", "/a"),
            ("/a/x", "/a"),
            ("/ab", "/"),
            ("/a/b", "/a"),
            ("/a/b/c", "/a/b/c"),
            ("/a/b/c/d/e", "/a/b/c"),
            ("/user/foo@bar/lab", "/user/foo@bar"),
            ("/user/foo", "/"),
            ("//a", "/"),
            ("/user/../a", "/"),
        ] {
            assert_eq!(trie.find(None, path, |_| true), Some(&expected), "{path}");
        }
        assert_eq!(table(&["/a"]).find(None, "/b", |_| true), None);
    }

    #[test]
    fn the_host_is_the_first_segment_and_the_root_its_default() {
        let trie = table(&["/", "/hub.example", "/alice.hub.example/user/alice"]);
        for (host, path, expected) in [
            ("hub.example", "/hub/login", "/hub.example"),
            ("alice.hub.example", "/user/alice/lab", "/alice.hub.example/user/alice"),
            ("alice.hub.example", "/other", "/"),
            ("evil", "/hub.example", "/"),
        ] {
            assert_eq!(trie.find(Some(host), path, |_| true), Some(&expected), "{host}{path}");
        }
    }

    #[test]
    fn removing_leaves_the_other_routes_and_no_empty_branches() {
        let mut trie = table(&["/", "/a", "/a/b/c"]);
        assert_eq!(trie.remove("/a/b"), None);
        assert_eq!(trie.remove("/a/b/c"), Some("/a/b/c"));
        assert_eq!(trie.find(None, "/a/b/c", |_| true), Some(&"/a"));
        assert_eq!(trie.remove("/a"), Some("/a"));
        assert!(trie.root.children.is_empty());
        assert_eq!(trie.remove("/"), Some("/"));
        assert_eq!((trie.len(), trie.find(None, "/", |_| true)), (0, None));
    }

    #[test]
    fn stored_paths_have_one_form() {
        for (path, clean) in [("", "/"), ("/", "/"), ("a", "/a"), ("/a/", "/a"), ("/user/é/x", "/user/é/x")] {
            assert_eq!(clean_path(path).as_deref(), Ok(clean), "{path}");
        }
        let long = "a".repeat(MAX_PATH);
        assert_eq!(clean_path(&long[1..]).map(|clean| clean.len()), Ok(MAX_PATH));
        for path in ["/a/../b", "//", "//a", "/a//b", "/a/.", "/a\r\nb", "/a\0", long.as_str()] {
            assert!(clean_path(path).is_err(), "{path}");
        }
    }
}
