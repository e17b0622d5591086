//! A kernel's WebSocket, as JupyterLab speaks it: JSON frames of Jupyter's messaging protocol.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{Person, Socket};

/// How long a cell may run. The first one waits for the kernel to come up.
const CELL: Duration = Duration::from_secs(60);

/// An open connection to a kernel.
pub(in crate::suite) struct Kernel {
    socket: Socket,
    session: String,
    sent: u32,
}

impl Kernel {
    /// Connects to the kernel's channels, by their path.
    pub(super) async fn connect(person: &Person, channels: &str) -> Result<Self> {
        let session = session_id();
        let socket = person.open_socket(&format!("{channels}?session_id={session}")).await?;
        Ok(Self { socket, session, sent: 0 })
    }

    /// Runs one cell; gives what it printed and its value, as text.
    pub(in crate::suite) async fn run(&mut self, code: &str) -> Result<String> {
        timeout(CELL, self.try_run(code)).await.with_context(|| format!("cell `{code}` did not end"))?
    }

    async fn try_run(&mut self, code: &str) -> Result<String> {
        self.sent += 1;
        let id = format!("{}-{}", self.session, self.sent);
        self.socket.send(Message::text(self.request(&id, code).to_string())).await.context("failed to send a cell")?;
        let mut text = String::new();
        let (mut idle, mut replied) = (false, false);
        while !(idle && replied) {
            let message = self.next_message().await?;
            if message["parent_header"]["msg_id"] != id.as_str() {
                continue;
            }
            let content = &message["content"];
            match message["header"]["msg_type"].as_str().unwrap_or_default() {
                "stream" => text += content["text"].as_str().unwrap_or_default(),
                "execute_result" => text += content["data"]["text/plain"].as_str().unwrap_or_default(),
                "error" => bail!("cell `{code}` failed: {}: {}", content["ename"], content["evalue"]),
                "status" => idle = content["execution_state"] == "idle",
                "execute_reply" => replied = true,
                _ => {}
            }
        }
        Ok(text)
    }

    async fn next_message(&mut self) -> Result<Value> {
        loop {
            match self.socket.next().await.context("the kernel's WebSocket ended")?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(frame) => bail!("the kernel's WebSocket was closed: {frame:?}"),
                _ => {}
            }
        }
    }

    fn request(&self, id: &str, code: &str) -> Value {
        json!({
            "channel": "shell",
            "header": {
                "msg_id": id, "msg_type": "execute_request", "session": self.session, "username": "",
                "version": "5.3", "date": jiff::Timestamp::now().to_string(),
            },
            "parent_header": {},
            "metadata": {},
            "content": {
                "code": code, "silent": false, "store_history": true, "user_expressions": {},
                "allow_stdin": false, "stop_on_error": true,
            },
            "buffers": [],
        })
    }
}

/// Unlike any other of this run and of earlier ones.
fn session_id() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!("e2e-{nanos:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}
