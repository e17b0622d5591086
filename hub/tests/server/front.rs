//! A front of a test: `hub server` with directories of its own, before a program that says what it sees.

use reqwest::{Client, Method, RequestBuilder, Response, redirect::Policy};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::TcpListener,
    process::{Child, Command},
};

pub(crate) const TOKEN: &str = "a-token-that-nobody-can-guess-0123456789";
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that answers each request with its head, and any path with 200.
pub(crate) async fn program() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = async |request: axum::extract::Request| {
        let headers = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
        let head = format!("{} {}\n{}", request.method(), request.uri(), headers.collect::<String>());
        ([("set-cookie", "username-planted=1"), ("x-program", "yes")], head)
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(echo)).await });
    address
}

/// How `hub server` is started.
pub(crate) struct Setup {
    pub(crate) dir: TempDir,
    command: Command,
}

impl Setup {
    /// With directories of its own, and nothing of this process's environment but `PATH`.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_hub"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", dir.path()).env("TMPDIR", dir.path());
        command.arg("server").kill_on_drop(true).stderr(Stdio::piped()).current_dir(dir.path());
        Self { dir, command }
    }

    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it before the program, on a free port.
    pub(crate) async fn guard(self) -> Front {
        let upstream = format!("http://{}", program().await);
        self.args(["--port", "0", "--upstream", &upstream]).start().await
    }

    /// Runs it until it has said where it is.
    pub(crate) async fn start(mut self) -> Front {
        let mut child = self.command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let url = loop {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.expect("it says nothing").unwrap();
            let line = line.unwrap_or_else(|| panic!("it ended: {said:#?}"));
            said.push(line.clone());
            if said.iter().rev().nth(1).is_some_and(|before| before.ends_with("The Jupyter Server is running at:")) {
                break line;
            }
        };
        let (log, mut sink) = (std::sync::Arc::new(std::sync::Mutex::new(said)), lines);
        let sunk = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = sink.next_line().await {
                sunk.lock().unwrap().push(line);
            }
        });
        Front { url, child, dir: self.dir, log }
    }

    /// Runs it to its end; its exit code and what it said.
    pub(crate) async fn fail(mut self) -> (i32, String) {
        let mut child = self.command.stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let mut stderr = child.stderr.take().unwrap();
        let ended = async {
            stderr.read_to_string(&mut said).await.unwrap();
            child.wait().await.unwrap()
        };
        let status = tokio::time::timeout(PATIENCE, ended).await.expect("it does not end");
        (status.code().unwrap(), said)
    }
}

/// A front that runs.
pub(crate) struct Front {
    /// As it was said at the start, with the token.
    pub(crate) url: String,
    pub(crate) child: Child,
    pub(crate) dir: TempDir,
    log: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Front {
    /// A front with a given token.
    pub(crate) async fn with_token(token: &str) -> Self {
        Setup::new().env("JUPYTER_TOKEN", token).guard().await
    }

    /// The address of a path.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.split("/?").next().unwrap().trim_end_matches('/'))
    }

    pub(crate) fn port(&self) -> u16 {
        url::Url::parse(&self.url).unwrap().port().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.dir.path().join(".local/share/jupyter/runtime")
    }

    /// What the server says of itself in Jupyter's runtime directory.
    pub(crate) fn info(&self, name: &str) -> serde_json::Value {
        let info: serde_json::Value = serde_json::from_slice(&std::fs::read(self.info_file()).unwrap()).unwrap();
        info[name].clone()
    }

    fn info_file(&self) -> PathBuf {
        self.runtime_dir().join(format!("jpserver-{}.json", self.child.id().unwrap()))
    }

    pub(crate) fn browser(&self) -> Browser<'_> {
        let client = hub_server::http_client().cookie_store(true).redirect(Policy::none()).build().unwrap();
        Browser { front: self, client }
    }

    pub(crate) async fn stop(mut self) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it does not end").unwrap();
        assert!(status.success(), "{status}");
    }
}

/// Keeps cookies, asks for pages, and doesn't follow redirects.
pub(crate) struct Browser<'a> {
    front: &'a Front,
    pub(crate) client: Client,
}

impl Browser<'_> {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.front.at(path)).header("Accept", "text/html,*/*")
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    /// Logs in with what stands in the form's password field.
    pub(crate) async fn log_in(&self, password: &str) -> Response {
        self.post_form("/login", &[("password", password)]).await
    }

    /// Posts the login form as a browser does, with the token that the form holds.
    pub(crate) async fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let form = self.get(path).await.text().await.unwrap();
        let xsrf = form.split("name=\"_xsrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let fields = [fields, &[("_xsrf", &xsrf)]].concat();
        self.request(Method::POST, path).form(&fields).send().await.unwrap()
    }

    /// Whether the program is reached.
    pub(crate) async fn is_in(&self) -> bool {
        passed(&self.get("/tree").await)
    }
}

/// Whether the program answered.
pub(crate) fn passed(response: &Response) -> bool {
    response.headers().contains_key("x-program")
}

pub(crate) fn location(response: &Response) -> &str {
    response.headers().get("location").map_or("", |value| value.to_str().unwrap())
}

/// Writes a program that can be run.
pub(crate) fn write_script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
