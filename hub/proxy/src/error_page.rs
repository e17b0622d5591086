//! Pages for errors of the proxy's own: fetched from `--error-target`, read from `--error-path`, or built in.

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::client::reason;
use crate::connect::Connector;
use crate::headers::write_text;
use crate::http1::body::Piece;
use crate::http1::head::{FieldSlots, HeadScan};
use crate::http1::response;
use crate::stream::Conn;
use crate::target::Target;

/// A page must come within this time, else the built-in one is sent.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest page.
const MAX_PAGE: usize = 1024 * 1024;
/// What a query parameter must not hold as it is.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

#[derive(Debug)]
pub(crate) enum ErrorPageSource {
    BuiltIn,
    Target(Target),
    Directory(PathBuf),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) content_type: String,
    pub(crate) content_encoding: Option<String>,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Response(#[from] response::ResponseError),
    #[error("the page is malformed: {0}")]
    Body(#[from] crate::http1::body::BodyError),
    #[error("the page is larger than 1 MiB")]
    TooLarge,
    #[error("the server of error pages took longer than 5 s")]
    Timeout,
}

impl ErrorPageSource {
    /// The page for a status; `url` is the request target that failed.
    pub(crate) async fn page(&self, status: u16, url: &str, connector: &Connector) -> Page {
        let page = match self {
            Self::BuiltIn => return built_in(status),
            Self::Directory(directory) => from_directory(directory, status).map_err(PageError::Io),
            Self::Target(target) => {
                let fetching = tokio::time::timeout(FETCH_TIMEOUT, fetch(target, status, url, connector));
                fetching.await.unwrap_or(Err(PageError::Timeout))
            }
        };
        page.unwrap_or_else(|error| {
            tracing::warn!(status, %error, "failed to get the error page");
            built_in(status)
        })
    }
}

fn built_in(status: u16) -> Page {
    let (title, text) = match status {
        404 => ("Not Found", "Nothing is served at this address."),
        503 => {
            ("Service Unavailable", "The server behind this address does not answer. It may be starting or stopped.")
        }
        504 => ("Gateway Timeout", "The server behind this address took too long to answer."),
        _ => (reason(status), "The request could not be passed on."),
    };
    let body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{status}: {title}</title></head>\n\
         <body><h1>{status}: {title}</h1><p>{text}</p></body>\n</html>\n"
    );
    Page { content_type: "text/html".to_owned(), content_encoding: None, body: body.into_bytes() }
}

/// Small files on a local disk: reading them here takes less time than handing them to another thread.
fn from_directory(directory: &Path, status: u16) -> std::io::Result<Page> {
    let body = std::fs::read(directory.join(format!("{status}.html")))
        .or_else(|_| std::fs::read(directory.join("error.html")))?;
    Ok(Page { content_type: "text/html".to_owned(), content_encoding: None, body })
}

async fn fetch(target: &Target, status: u16, url: &str, connector: &Connector) -> Result<Page, PageError> {
    let mut conn = Conn::new(connector.connect(target).await?);
    conn.write_all(&fetch_request(target, status, url)).await?;
    let mut scan = HeadScan::default();
    let length = loop {
        let found = scan.find(&conn.read).map_err(|_| response::ResponseError("the head is malformed"))?;
        match found {
            Some(length) => break length,
            None if poll_fn(|cx| conn.poll_fill(cx)).await? == 0 => {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            }
            None => {}
        }
    };
    let (mut page, mut body) = {
        let mut slots = FieldSlots::new();
        let head = response::parse(&conn.read[..length], &mut slots)?;
        let text = |name: &str| {
            let field = head.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
            field.and_then(|field| std::str::from_utf8(field.value).ok()).map(str::to_owned)
        };
        let page = Page {
            content_type: text("content-type").unwrap_or_default(),
            content_encoding: text("content-encoding"),
            body: Vec::new(),
        };
        (page, response::examine(&head, false)?.body)
    };
    conn.read.advance(length);
    loop {
        match body.next(&mut conn.read)? {
            Piece::End => return Ok(page),
            Piece::Data(size) => {
                page.body.extend_from_slice(&conn.read[..size]);
                conn.read.advance(size);
            }
            Piece::NeedMore => {
                if poll_fn(|cx| conn.poll_fill(cx)).await? == 0 {
                    body.close()?;
                }
            }
        }
        if page.body.len() > MAX_PAGE {
            return Err(PageError::TooLarge);
        }
    }
}

fn fetch_request(target: &Target, status: u16, url: &str) -> BytesMut {
    let slash = if target.path.ends_with('/') { "" } else { "/" };
    let joint = if target.query.is_empty() { "" } else { "&" };
    let mut out = BytesMut::new();
    write_text(
        &mut out,
        format_args!(
            "GET {}{slash}{status}?{}{joint}url={} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            target.path,
            target.query,
            utf8_percent_encode(url, QUERY),
            target.host,
        ),
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::TargetTls;

    #[test]
    fn the_page_server_is_asked_by_status_and_url() {
        let target = Target::parse("http://hub:8081/hub/error").unwrap();
        let request = fetch_request(&target, 503, "/user/a b?x=1&y");
        let text = String::from_utf8(request.to_vec()).unwrap();
        assert!(text.starts_with("GET /hub/error/503?url=%2Fuser%2Fa%20b%3Fx%3D1%26y HTTP/1.1\r\nHost: hub:8081\r\n"));
    }

    #[tokio::test]
    async fn pages_come_from_files_and_fall_back() {
        let directory = tempfile::tempdir().unwrap();
        let source = ErrorPageSource::Directory(directory.path().to_owned());
        let connector = Connector::new(TargetTls::default()).unwrap();
        assert_eq!(source.page(404, "/", &connector).await, built_in(404));
        std::fs::write(directory.path().join("error.html"), "any").unwrap();
        std::fs::write(directory.path().join("404.html"), "missing").unwrap();
        assert_eq!(source.page(404, "/", &connector).await.body, b"missing");
        assert_eq!(source.page(503, "/", &connector).await.body, b"any");
    }
}
