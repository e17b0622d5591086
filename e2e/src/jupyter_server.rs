//! A Jupyter server that runs: the real one or `hub server`, which are told from each other by [`Side`] alone.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::TcpStream,
    process::Child,
    time::{Instant, sleep, timeout},
};

use crate::{
    program::{Program, last_lines},
    progress::explained,
};

/// From a program's start until it listens and has said where: JupyterLab takes seconds on a busy machine.
const START: Duration = Duration::from_secs(60);
/// From a signal to the end.
const STOP: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// Lines of the log that go into an error.
const LAST_WORDS: usize = 25;

/// Whose program it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Real,
    Ours,
}

impl Side {
    pub(crate) const BOTH: [Self; 2] = [Self::Real, Self::Ours];

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Real => Self::Ours,
            Self::Ours => Self::Real,
        }
    }
}

/// The directories of one user: where Jupyter looks for settings, keeps what runs, and finds notebooks.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Result<Self> {
        let home = Self { dir: tempfile::tempdir()? };
        for dir in [home.config(), home.runtime(), home.data(), home.notebooks()] {
            fs::create_dir(dir)?;
        }
        Ok(home)
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Settings: `JUPYTER_CONFIG_DIR`.
    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("config")
    }

    /// Files of what runs, and the cookie secret: `JUPYTER_RUNTIME_DIR`.
    pub(crate) fn runtime(&self) -> PathBuf {
        self.dir.path().join("runtime")
    }

    /// What a server says of itself, by its process.
    pub(crate) fn info_file(&self, pid: u32) -> PathBuf {
        self.runtime().join(format!("jpserver-{pid}.json"))
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where servers are started.
    pub(crate) fn notebooks(&self) -> PathBuf {
        self.dir.path().join("notebooks")
    }

    /// What a program's environment is, with its own programs on `PATH` before the system's.
    pub(crate) fn environment(&self, bin: &Path) -> Result<Vec<(&'static str, OsString)>> {
        let path = env::join_paths([bin, Path::new("/usr/bin"), Path::new("/bin")])?;
        Ok(vec![
            ("PATH", path),
            ("HOME", self.dir.path().into()),
            ("LANG", "C.UTF-8".into()),
            ("BROWSER", "true".into()), // no test opens one unasked
            ("JUPYTER_CONFIG_DIR", self.config().into()),
            ("JUPYTER_RUNTIME_DIR", self.runtime().into()),
            ("JUPYTER_DATA_DIR", self.data().into()),
        ])
    }

    /// A log of its own for one more program.
    fn log(&self) -> Result<(PathBuf, File)> {
        let (file, path) = tempfile::Builder::new().suffix(".log").tempfile_in(self.dir.path())?.keep()?;
        Ok((path, file))
    }
}

/// A server that listens. It is told to end when this is dropped.
pub(crate) struct JupyterServer {
    /// `http://127.0.0.1:8888`, without the base URL.
    pub(crate) origin: String,
    /// What it says of itself to `jupyter server list`.
    pub(crate) info: Value,
    process: Child,
    log: PathBuf,
}

impl JupyterServer {
    /// Starts a program that serves from this home, and waits until it listens.
    pub(crate) async fn start(program: Program, home: &Home) -> Result<Self> {
        let (log, file) = home.log()?;
        let process = program.dir(home.notebooks()).start(file)?;
        let mut server = Self { origin: String::new(), info: Value::Null, process, log };
        match timeout(START, server.listening(home)).await {
            Ok(Ok(())) => Ok(server),
            failed => {
                let why = match failed {
                    Ok(Err(error)) => explained(&error),
                    _ => "it does not listen".to_owned(),
                };
                bail!("the server did not start: {why}\n{}", server.last_words());
            }
        }
    }

    /// Waits for the file in which it says where it listens, and for that to be true.
    async fn listening(&mut self, home: &Home) -> Result<()> {
        let file = home.info_file(self.pid()?);
        loop {
            if let Some(ended) = self.process.try_wait()? {
                bail!("it ended with {ended}");
            }
            // It may be half written.
            let info = fs::read(&file).ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok());
            if let Some(info) = info {
                let port = info["port"].as_u64().context("a server says its port")?;
                let scheme = if info["secure"] == true { "https" } else { "http" };
                if TcpStream::connect(format!("127.0.0.1:{port}")).await.is_ok() {
                    self.origin = format!("{scheme}://127.0.0.1:{port}");
                    self.info = info;
                    return Ok(());
                }
            }
            sleep(POLL).await;
        }
    }

    /// The process's number; an error if it has ended.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.process.id().context("the server has ended")
    }

    pub(crate) fn port(&self) -> u16 {
        self.info["port"].as_u64().and_then(|port| port.try_into().ok()).unwrap_or_default()
    }

    /// The token that it lists; empty if it has none.
    pub(crate) fn token(&self) -> &str {
        self.info["token"].as_str().unwrap_or_default()
    }

    /// All that it said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn last_words(&self) -> String {
        last_lines(&self.log(), LAST_WORDS)
    }

    /// Waits until its log has a text.
    pub(crate) async fn says(&self, text: &str) -> Result<()> {
        let end = Instant::now() + START;
        while !self.log().contains(text) {
            if Instant::now() > end {
                bail!("the server does not say `{text}`:\n{}", self.log());
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Ends it as `kill` does, and waits for its end.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Program::new("kill").arg(self.pid()?.to_string()).output().await?;
        self.ended().await
    }

    /// Waits for an end that something else brings.
    pub(crate) async fn ended(&mut self) -> Result<()> {
        if timeout(STOP, self.process.wait()).await.is_err() {
            self.process.kill().await?;
            bail!("the server did not end within {} s\n{}", STOP.as_secs(), self.last_words());
        }
        Ok(())
    }
}

impl Drop for JupyterServer {
    /// A test that is broken off leaves nothing behind: a server that is killed could not end its kernels.
    fn drop(&mut self) {
        if let Some(pid) = self.process.id() {
            let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

/// Whether a token is one that a server made: 24 random bytes (S8).
pub(crate) fn is_generated(token: &str) -> bool {
    token.len() == 48 && token.chars().all(|digit| matches!(digit, '0'..='9' | 'a'..='f'))
}
