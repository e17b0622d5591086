//! What people do with their server: start it, watch it come up, work in it, stop it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{Answer, Kernel, Person};

/// From the request for a server until it is ready, or gone.
const SERVER: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(200);

/// A server as the REST API tells of it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::suite) enum ServerState {
    Stopped,
    Pending(String),
    Ready,
}

impl Person {
    /// The path of this person's server.
    pub(in crate::suite) fn server_path(&self) -> String {
        format!("/user/{}/", self.name)
    }

    /// Asks for the server as the home page's button does; gives the page that shows its progress.
    pub(in crate::suite) async fn spawn(&self) -> Result<Answer> {
        let page = self.visit("/hub/spawn").await?.expect(&[200])?;
        ensure!(
            page.path() == format!("/hub/spawn-pending/{}", self.name),
            "a spawn leads to {}, not to its progress",
            page.path()
        );
        Ok(page)
    }

    /// Follows the stream of progress events to its end, which must be good.
    pub(in crate::suite) async fn follow_progress(&self) -> Result<Vec<Value>> {
        let path = format!("/hub/api/users/{}/server/progress", self.name);
        let request = self.script(Method::GET, self.url(&path)?).header("Accept", "text/event-stream").timeout(SERVER);
        let mut response = self.respond(request).await?;
        ensure!(response.status() == 200, "the progress stream answered {}", response.status());
        let kind = response.headers().get("content-type").context("a stream without Content-Type")?.to_str()?;
        ensure!(kind.starts_with("text/event-stream"), "the progress stream is of type {kind}");
        let (mut events, mut text) = (Vec::new(), String::new());
        while let Some(bytes) = response.chunk().await? {
            text += std::str::from_utf8(&bytes)?;
            while let Some((event, rest)) = text.split_once("\n\n") {
                if let Some(data) = event.trim().strip_prefix("data:") {
                    events.push(serde_json::from_str::<Value>(data)?);
                }
                text = rest.to_owned();
            }
        }
        let last = events.last().context("the progress stream had no events")?;
        ensure!(last["ready"] == true, "the server did not become ready: {events:?}");
        Ok(events)
    }

    /// Starts the server unless it runs, and stays until it is ready; gives the events of its progress.
    pub(in crate::suite) async fn start_server(&self) -> Result<Vec<Value>> {
        self.go_home().await?;
        // Whoever had the server before may have left it while it stops.
        let is_stopping = |state: &ServerState| matches!(state, ServerState::Pending(what) if what == "stop");
        if is_stopping(&self.server_state().await?) {
            self.await_server(&ServerState::Stopped).await?;
        }
        if self.server_state().await? == ServerState::Ready {
            return Ok(Vec::new());
        }
        self.spawn().await?;
        self.follow_progress().await
    }

    /// Opens JupyterLab, past the hub's OAuth if this browser has not been there yet.
    pub(in crate::suite) async fn open_lab(&self) -> Result<Answer> {
        let path = format!("{}lab", self.server_path());
        let lab = self.visit(&path).await?.expect(&[200])?;
        ensure!(lab.path() == path, "the way to JupyterLab ends at {}", lab.path());
        ensure!(lab.body.contains("jupyter-config-data"), "{path} is not JupyterLab's page");
        Ok(lab)
    }

    /// Starts a kernel; gives its id.
    pub(in crate::suite) async fn start_kernel(&self) -> Result<String> {
        let path = format!("{}api/kernels", self.server_path());
        let kernel = self.fetch(Method::POST, &path, Some(&json!({"name": "python3"}))).await?.expect(&[201])?;
        kernel.json()?["id"].as_str().map(str::to_owned).context("a kernel has an id")
    }

    pub(in crate::suite) async fn end_kernel(&self, kernel: &str) -> Result<()> {
        let path = format!("{}api/kernels/{kernel}", self.server_path());
        self.fetch(Method::DELETE, &path, None).await?.expect(&[204]).map(|_| ())
    }

    /// Connects to a kernel.
    pub(in crate::suite) async fn connect(&self, kernel: &str) -> Result<Kernel> {
        Kernel::connect(self, &format!("{}api/kernels/{kernel}/channels", self.server_path())).await
    }

    pub(in crate::suite) async fn write_file(&self, name: &str, text: &str) -> Result<()> {
        let path = format!("{}api/contents/{name}", self.server_path());
        let file = json!({"type": "file", "format": "text", "content": text});
        self.fetch(Method::PUT, &path, Some(&file)).await?.expect(&[200, 201]).map(|_| ())
    }

    pub(in crate::suite) async fn read_file(&self, name: &str) -> Result<String> {
        let path = format!("{}api/contents/{name}?content=1", self.server_path());
        let file = self.fetch(Method::GET, &path, None).await?.expect(&[200])?.json()?;
        file["content"].as_str().map(str::to_owned).with_context(|| format!("{name} has no text"))
    }

    /// Stops the server and stays until it is gone. One that does not run is no error.
    pub(in crate::suite) async fn stop_server(&self) -> Result<()> {
        self.go_home().await?;
        let path = format!("/hub/api/users/{}/server", self.name);
        self.fetch(Method::DELETE, &path, None).await?.expect(&[202, 204])?;
        self.await_server(&ServerState::Stopped).await
    }

    /// Scripts run in pages: only they get the `_xsrf` cookie that the hub's API asks for.
    async fn go_home(&self) -> Result<()> {
        let home = self.visit("/hub/home").await?.expect(&[200])?;
        ensure!(home.path() == "/hub/home", "{} is not logged in: home is {}", self.name, home.path());
        Ok(())
    }

    /// Waits until the server is in a state.
    pub(in crate::suite) async fn await_server(&self, wanted: &ServerState) -> Result<()> {
        let waiting = async {
            while self.server_state().await? != *wanted {
                sleep(POLL).await;
            }
            Ok(())
        };
        match timeout(SERVER, waiting).await {
            Ok(result) => result,
            Err(_) => bail!("the server of {} is {:?}, not {wanted:?}", self.name, self.server_state().await?),
        }
    }

    pub(in crate::suite) async fn server_state(&self) -> Result<ServerState> {
        let path = format!("/hub/api/users/{}", self.name);
        let user = self.fetch(Method::GET, &path, None).await?.expect(&[200])?.json()?;
        let server = &user["servers"][""];
        Ok(match (server["ready"].as_bool(), server["pending"].as_str()) {
            (_, Some(pending)) => ServerState::Pending(pending.to_owned()),
            (Some(true), None) => ServerState::Ready,
            _ => ServerState::Stopped,
        })
    }
}
