//! `hub local` in a directory of a test's own: hub, proxy, database and servers on this machine, without a cluster.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};
use url::Url;

use crate::program::{Program, last_lines};

/// The administrator, who alone can log in at the hub's pages.
pub(crate) const USER: &str = "ada";
/// From the start of the program to the address that it prints.
const START: Duration = Duration::from_secs(30);
/// From a signal to its end, servers included.
const STOP: Duration = Duration::from_secs(40);
/// Lines of the log that go into an error.
const LAST_WORDS: usize = 25;

/// A hub that runs. It ends with this.
pub(crate) struct LocalHub {
    /// Without a slash at its end, such as `http://127.0.0.1:8000`.
    pub(crate) base_url: String,
    /// What [`USER`] logs in with, as an administrator.
    pub(crate) token: String,
    process: Child,
    program: OsString,
    data: PathBuf,
    log: PathBuf,
}

impl LocalHub {
    /// Starts `hub`, which is the program or another one that runs it, with its data in `dir/data` and the notebooks in
    /// `dir`. `programs` is where programs are looked for before the system's directories; `flags` are more of `hub local`.
    pub(crate) async fn start(hub: Command, dir: &Path, programs: Option<&Path>, flags: &[&str]) -> Result<Self> {
        let (log, data, program) = (dir.join("hub.log"), dir.join("data"), hub.as_std().get_program().to_owned());
        let mut process = command(hub, dir, programs, &log)?.args(flags).spawn().context("failed to start the hub")?;
        let login = match timeout(START, login_url(&mut process)).await {
            Ok(Ok(login)) => login,
            failed => {
                let _ = process.kill().await;
                let why = failed.map_or_else(|_| "it printed no address".to_owned(), |error| format!("{error:?}"));
                bail!("the hub did not start: {why}\n{}", last_words(&log));
            }
        };
        let token = login.query_pairs().find(|(name, _)| name == "token").context("the login address has a token")?;
        let token = token.1.into_owned();
        Ok(Self { base_url: login.origin().ascii_serialization(), token, process, program, data, log })
    }

    /// The process's number; an error if it has ended.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.process.id().context("the hub has ended")
    }

    /// What `hub COMMAND` prints that asks this hub, and finds nobody else's servers.
    pub(crate) async fn ask(&self, command: &[&str]) -> Result<String> {
        let socket = self.data.join("control/hub.sock");
        let runtime = self.data.join("no-runtime-files");
        let program = Program::new(&self.program).args(command).arg("--socket").arg(socket);
        program.env("JUPYTER_RUNTIME_DIR", runtime).output().await
    }

    /// All that its servers said so far, whoever's they are.
    pub(crate) fn server_logs(&self) -> Result<String> {
        let mut text = String::new();
        for server in fs::read_dir(self.data.join("servers"))? {
            text += &fs::read_to_string(server?.path().join("server.log"))?;
        }
        Ok(text)
    }

    /// All that it said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its last lines.
    pub(crate) fn last_words(&self) -> String {
        last_words(&self.log)
    }

    /// Ends hub and servers as Ctrl-C does; an error if it does not end well.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Program::new("kill").arg(self.pid()?.to_string()).output().await?;
        let Ok(status) = timeout(STOP, self.process.wait()).await else {
            self.process.kill().await?;
            bail!("the hub did not end within {} s\n{}", STOP.as_secs(), self.last_words());
        };
        let status = status?;
        ensure!(status.success(), "the hub ended with {status}\n{}", self.last_words());
        Ok(())
    }
}

impl Drop for LocalHub {
    /// A test that is broken off leaves no servers behind: a hub that is killed could not end them.
    fn drop(&mut self) {
        if let Some(pid) = self.process.id() {
            let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

fn command(mut hub: Command, dir: &Path, programs: Option<&Path>, log: &Path) -> Result<Command> {
    let path = programs.into_iter().chain([Path::new("/usr/bin"), Path::new("/bin")]);
    let log = File::create(log).with_context(|| format!("failed to make {}", log.display()))?;
    hub.args(["local", "--port", "0", "--user", USER, "--data-dir"])
        .arg(dir.join("data"))
        .current_dir(dir)
        .env("PATH", env::join_paths(path)?)
        .env("HOME", dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    Ok(hub)
}

/// Waits for the address that is printed.
async fn login_url(process: &mut Child) -> Result<Url> {
    let mut words = BufReader::new(process.stdout.take().context("a piped standard output")?);
    let mut line = String::new();
    let url = loop {
        line.clear();
        ensure!(words.read_line(&mut line).await? > 0, "it ended before it printed its address");
        if let Ok(url) = line.trim().parse() {
            break url;
        }
    };
    // It has more to say, and must find someone who listens.
    process.stdout = Some(words.into_inner());
    Ok(url)
}

fn last_words(log: &Path) -> String {
    last_lines(&fs::read_to_string(log).unwrap_or_default(), LAST_WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("/bin/sh");
        // What `hub local` is called with are the shell's own arguments here.
        shell.args(["-c", script, "hub"]);
        shell
    }

    #[tokio::test]
    async fn the_address_is_read_and_the_program_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        // The trap comes first: whoever has read the address may end the program at once.
        let script = "trap 'exit 0' TERM; echo The Hub is running at:; \
                      echo '    http://127.0.0.1:4711/?token=abc'; while true; do sleep 0.05; done";
        let hub = LocalHub::start(shell(script), dir.path(), None, &[]).await.unwrap();
        assert_eq!((hub.base_url.as_str(), hub.token.as_str()), ("http://127.0.0.1:4711", "abc"));
        hub.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_hub_that_does_not_start_is_an_error_with_its_words() {
        let dir = tempfile::tempdir().unwrap();
        let error = LocalHub::start(shell("echo no port >&2; exit 1"), dir.path(), None, &[]).await.err().unwrap();
        assert!(error.to_string().contains("no port"), "{error}");
    }
}
