//! Lists in pages: which part is wanted, and how it is answered.

use axum::http::{HeaderMap, header};
use hub_auth::next_url::with_query;
use hub_crds::ApiPages;
use serde_json::{Value, json};

use crate::{
    app::App,
    database::Window,
    error::{Failure, Result},
    form::Fields,
    session::Visitor,
};

/// A client that accepts this understands an answer that says which part of a list it is.
const MEDIA_TYPE: &str = "application/jupyterhub-pagination+json";

/// The part of a list that a request wants.
#[derive(Clone, Copy, Debug)]
pub struct Pagination {
    pub window: Window,
    /// The client accepts [`MEDIA_TYPE`].
    accepted: bool,
}

impl Pagination {
    /// Reads `offset` and `limit`. Signs are ignored, and a limit is brought to at least 1 and at most what the settings
    /// allow, which is also what a client gets that knows of no pages.
    pub fn read(app: &App, visitor: &Visitor, query: &Fields) -> Result<Self> {
        let accepted = accepts(&visitor.headers);
        let ApiPages { default_limit, max_limit } = app.api_pages;
        let limit = number(query, "limit", if accepted { default_limit } else { max_limit })?.min(max_limit).max(1);
        Ok(Self { window: Window { offset: number(query, "offset", 0)?, limit }, accepted })
    }

    /// The same for pages that people read: one page of the usual length, unless they ask for another.
    pub fn for_people(app: &App, query: &Fields) -> Result<Self> {
        let ApiPages { default_limit, max_limit } = app.api_pages;
        let limit = number(query, "limit", default_limit)?.min(max_limit).max(1);
        Ok(Self { window: Window { offset: number(query, "offset", 0)?, limit }, accepted: true })
    }

    /// The items with their place in the whole list if the client accepts that, else the items alone.
    pub fn answer(self, app: &App, visitor: &Visitor, items: Value, total: u64) -> Value {
        if self.accepted { self.page(app, visitor, items, total) } else { items }
    }

    /// The items with their place in the whole list of `total` entries, and where the next page is.
    pub fn page(self, app: &App, visitor: &Visitor, items: Value, total: u64) -> Value {
        let Window { offset, limit } = self.window;
        let after = offset.saturating_add(limit);
        let next = (u64::from(after) < total)
            .then(|| json!({"offset": after, "limit": limit, "url": next_page(app, visitor, after, limit)}));
        let place = json!({"offset": offset, "limit": limit, "total": total, "next": next});
        let page = [("items".to_owned(), items), ("_pagination".to_owned(), place)];
        Value::Object(page.into_iter().collect())
    }
}

fn accepts(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accept.split(',').any(|kind| kind.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

fn number(query: &Fields, name: &str, default: u32) -> Result<u32> {
    let Some(text) = query.get(name) else { return Ok(default) };
    let number = text.parse::<i64>().ok().and_then(|n| u32::try_from(n.unsigned_abs()).ok());
    number.ok_or_else(|| Failure::bad_request("Invalid argument type, offset and limit must be integers"))
}

fn next_page(app: &App, visitor: &Visitor, offset: u32, limit: u32) -> String {
    let mut url = visitor.uri.path().to_owned();
    let query = Fields::of_query(&visitor.uri);
    for (name, value) in query.iter().filter(|(name, _)| !matches!(*name, "offset" | "limit" | "_xsrf")) {
        url = with_query(&url, name, value);
    }
    let url = with_query(&with_query(&url, "offset", &offset.to_string()), "limit", &limit.to_string());
    visitor.origin(app) + &url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_without_their_sign_and_nothing_else_is_one() {
        let read = |query: &str| number(&Fields::parse(query.as_bytes()), "limit", 7).ok();
        for (query, expected) in
            [("", Some(7)), ("limit=3", Some(3)), ("limit=-3", Some(3)), ("limit=1&limit=2", Some(2))]
        {
            assert_eq!(read(query), expected, "{query}");
        }
        for bad in ["limit=", "limit=x", "limit=1.5", "limit=99999999999999999999", "limit=-9223372036854775808"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
