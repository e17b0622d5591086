//! The progress of one start: kept from its first line, so that everyone who asks sees all of it.

use futures::{Stream, stream};
use serde::Serialize;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// One event of the progress stream, as `GET .../server/progress` sends it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ProgressEvent {
    /// 0 to 100; 100 ends the stream.
    pub progress: u8,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html_message: Option<String>,
    /// The Kubernetes Event behind it, if one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_event: Option<Value>,
    /// The server is up, at `url`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ready: bool,
    /// The start failed or was cancelled, as `message` says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl ProgressEvent {
    /// A line on the way.
    pub fn step(progress: u8, message: &str) -> Self {
        Self {
            progress,
            message: message.to_owned(),
            html_message: None,
            raw_event: None,
            ready: false,
            failed: false,
            url: None,
        }
    }

    /// The last line of a start that worked. `url` is the server's path; it is escaped already, and for the link once more.
    pub fn ready(url: &str) -> Self {
        let escaped = url.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;");
        Self {
            html_message: Some(format!("Server ready at <a href=\"{escaped}\">{escaped}</a>")),
            ready: true,
            url: Some(url.to_owned()),
            ..Self::step(100, &format!("Server ready at {url}"))
        }
    }

    /// The last line of a start that did not.
    pub fn failed(message: &str) -> Self {
        Self { failed: true, ..Self::step(100, message) }
    }

    /// Nothing comes after it.
    pub fn is_last(&self) -> bool {
        self.ready || self.failed
    }
}

/// All events of one start so far.
#[derive(Clone)]
pub(super) struct ProgressLog {
    events: Arc<Mutex<Vec<ProgressEvent>>>,
    count: watch::Sender<usize>,
}

impl ProgressLog {
    pub(super) fn new() -> Self {
        Self { events: Arc::default(), count: watch::Sender::new(0) }
    }

    /// Adds an event, unless the log has ended.
    pub(super) fn push(&self, event: ProgressEvent) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.last().is_some_and(ProgressEvent::is_last) {
            return;
        }
        events.push(event);
        self.count.send_replace(events.len());
    }

    /// Every event from the first on, as they come, until the last.
    pub(super) fn stream(&self) -> impl Stream<Item = ProgressEvent> + Send + use<> {
        stream::unfold((Some(self.clone()), self.count.subscribe(), 0), |(log, mut count, index)| async move {
            let log = log?;
            count.wait_for(|count| *count > index).await.ok()?;
            let event = log.events.lock().unwrap_or_else(PoisonError::into_inner).get(index).cloned()?;
            let next = (!event.is_last()).then_some(log);
            Some((event, (next, count, index + 1)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use serde_json::json;

    #[test]
    fn events_are_as_the_protocol_has_them() {
        assert_eq!(
            serde_json::to_value(ProgressEvent::step(0, "Server requested")).unwrap(),
            json!({"progress": 0, "message": "Server requested"}),
        );
        assert_eq!(
            serde_json::to_value(ProgressEvent::ready("/user/a&b/")).unwrap(),
            json!({
                "progress": 100, "ready": true, "url": "/user/a&b/", "message": "Server ready at /user/a&b/",
                "html_message": "Server ready at <a href=\"/user/a&amp;b/\">/user/a&amp;b/</a>",
            }),
        );
        assert_eq!(
            serde_json::to_value(ProgressEvent::failed("Spawn cancelled")).unwrap(),
            json!({"progress": 100, "failed": true, "message": "Spawn cancelled"}),
        );
    }

    /// Who comes late sees the start from its beginning, and everyone's stream ends.
    #[tokio::test]
    async fn a_late_reader_sees_everything_once() {
        let log = ProgressLog::new();
        log.push(ProgressEvent::step(0, "one"));
        let early = tokio::spawn(log.stream().collect::<Vec<_>>());
        tokio::task::yield_now().await;
        log.push(ProgressEvent::step(50, "two"));
        log.push(ProgressEvent::ready("/user/a/"));
        log.push(ProgressEvent::step(60, "after the end"));
        let late: Vec<_> = log.stream().collect().await;
        assert_eq!(late.iter().map(|event| event.progress).collect::<Vec<_>>(), [0, 50, 100]);
        assert_eq!(early.await.unwrap(), late);
    }
}
