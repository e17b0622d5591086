//! The program behind the front: started on a private socket, waited for, ended.

use anyhow::{Context, bail};
use hub_traitlets::Variables;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};
use url::Url;

use crate::{
    ports::free_port,
    process::{Group, runs_as_root},
};

/// How long the program has to end before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// The longest pause between two looks whether the program answers.
const PAUSE: Duration = Duration::from_millis(100);
/// What must not reach the program: its own login is off, and the front's is none of its business.
const HIDDEN: [&str; 2] = ["JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE"];

/// What is guarded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Guarded {
    /// Jupyter, found on PATH, with its own login off.
    Jupyter,
    /// A command with placeholders.
    Command(Vec<String>),
    /// A server that runs already.
    Upstream(Url),
}

/// Where a program listens, and what it is told of it.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// A Unix socket in a directory that only its user can enter.
    pub(crate) socket: &'a Path,
    /// With a slash at both ends.
    pub(crate) base_url: &'a str,
    pub(crate) root_dir: &'a Path,
}

/// What is behind the front.
#[derive(Debug)]
pub(crate) enum Behind {
    Program(Box<Program>),
    /// The address of a server that runs already.
    Upstream(String),
}

impl Behind {
    /// Starts what is to be started; `flags` are settings for Jupyter.
    ///
    /// # Errors
    /// It can't be started.
    pub(crate) fn start(guarded: &Guarded, place: &Place<'_>, flags: &[String]) -> anyhow::Result<Self> {
        match guarded {
            Guarded::Upstream(url) => Ok(Self::Upstream(url.as_str().trim_end_matches('/').to_owned())),
            Guarded::Jupyter => {
                tracing::info!("starting Jupyter with its own login off, on a socket that only this front reaches");
                Program::start(&jupyter(place, flags)?, place).map(|program| Self::Program(Box::new(program)))
            }
            Guarded::Command(command) => Program::start(command, place).map(|program| Self::Program(Box::new(program))),
        }
    }

    /// As a route of the proxy has it.
    pub(crate) fn target(&self) -> String {
        match self {
            Self::Program(program) => program.target.url(),
            Self::Upstream(url) => url.clone(),
        }
    }

    /// Waits until a program answers; what is said to run already is asked once, and warned of.
    ///
    /// # Errors
    /// It ends before it does, or takes longer than `patience`.
    pub(crate) async fn ready(&mut self, base_url: &str, patience: Duration) -> anyhow::Result<()> {
        match self {
            Self::Program(program) => program.ready(base_url, patience).await,
            Self::Upstream(url) => {
                let (client, address) = client(&Target::Address(url.clone()), base_url)?;
                if client.get(address).timeout(PAUSE * 10).send().await.is_err() {
                    tracing::warn!(
                        upstream = url,
                        "nothing answers there yet: requests are answered with 503 until it does"
                    );
                }
                Ok(())
            }
        }
    }

    /// Waits for the end of a program.
    ///
    /// # Errors
    /// It failed.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        let Self::Program(program) = self else { return std::future::pending().await };
        let status = program.child.wait().await?;
        anyhow::ensure!(status.success(), "`{}` failed: {status}", program.name);
        tracing::info!(program = program.name, "the program ended");
        Ok(())
    }

    /// A program's number, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Program(program) => program.child.id(),
            Self::Upstream(_) => None,
        }
    }

    /// Asks a program to end, and ends it if it doesn't.
    pub(crate) async fn stop(self) {
        if let Self::Program(program) = self {
            program.stop().await;
        }
    }
}

/// A program that the front started.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    group: Group,
    name: String,
    target: Target,
}

/// Where the front forwards to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Socket(PathBuf),
    Address(String),
}

impl Target {
    /// As a route of the proxy has it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Socket(path) => socket_url(path),
            Self::Address(url) => url.clone(),
        }
    }
}

/// A Unix socket as the target of a route.
pub(crate) fn socket_url(path: &Path) -> String {
    format!("http+unix://{}", utf8_percent_encode(&path.to_string_lossy(), NON_ALPHANUMERIC))
}

/// The command that runs Jupyter with its own login off, on a socket that the front alone reaches. `flags` are settings
/// that the user wants it to have.
///
/// # Errors
/// Jupyter isn't there.
fn jupyter(place: &Place<'_>, flags: &[String]) -> anyhow::Result<Vec<String>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let program = ["jupyter-lab", "jupyter-server"].into_iter().find_map(|name| find_program(name, &path));
    let program = program.context(
        "failed to find jupyter-lab or jupyter-server on PATH: install one with `pip install jupyterlab`, or say what to run: hub server -- COMMAND",
    )?;
    let mut command = vec![program.display().to_string()];
    command.extend(flags.iter().cloned());
    let own = [
        // Port and socket exclude each other, so one from a settings file must not count.
        "ServerApp.sock={socket}",
        "ServerApp.sock_mode=0600",
        "ServerApp.port=8888",
        "ServerApp.ip=localhost",
        "ServerApp.base_url={base_url}",
        "ServerApp.open_browser=False",
        "ServerApp.certfile=",
        "ServerApp.keyfile=",
        // The front checks who asks, and for which host.
        "ServerApp.allow_remote_access=True",
        "PasswordIdentityProvider.password_required=False",
        "PasswordIdentityProvider.hashed_password=",
        "ServerApp.password=",
        "IdentityProvider.token=",
        // Its own cookie, by which it knows a browser again, must not have the front's name.
        "PasswordIdentityProvider.cookie_name=jupyter-program",
        "IdentityProvider.cookie_name=jupyter-program",
    ];
    command.extend(own.iter().map(|setting| format!("--{setting}")));
    command.push(format!("--ServerApp.root_dir={}", place.root_dir.display()));
    if runs_as_root() {
        command.push("--allow-root".to_owned());
    }
    Ok(command)
}

fn find_program(name: &str, path: &OsStr) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_executable =
        |file: &PathBuf| file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    env::split_paths(path).map(|directory| directory.join(name)).find(is_executable)
}

impl Program {
    /// Starts a command whose placeholders `{socket}`, `{port}` and `{base_url}` are filled in.
    ///
    /// # Errors
    /// It says neither `{socket}` nor `{port}`, or can't be started.
    pub(crate) fn start(command: &[String], place: &Place<'_>) -> anyhow::Result<Self> {
        let (command, target) = fill_in(command, place)?;
        if !place.root_dir.is_dir() {
            bail!("the directory {} is not there; make it, or name another with --root-dir", place.root_dir.display());
        }
        let [program, arguments @ ..] = command.as_slice() else {
            bail!("the command is empty: hub server -- COMMAND")
        };
        let mut process = Command::new(program);
        process.args(arguments).current_dir(place.root_dir).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        for hidden in HIDDEN {
            process.env_remove(hidden);
        }
        let child = process.spawn().with_context(|| format!("failed to start `{program}`"))?;
        let group = Group::of(&child).with_context(|| format!("`{program}` ended at once"))?;
        Ok(Self { child, group, name: program.clone(), target })
    }

    /// Waits until the program answers HTTP.
    ///
    /// # Errors
    /// It ends before it does, or takes longer than `patience`.
    pub(crate) async fn ready(&mut self, base_url: &str, patience: Duration) -> anyhow::Result<()> {
        let (client, url) = client(&self.target, base_url)?;
        let until = Instant::now() + patience;
        let mut pause = Duration::from_millis(5);
        while Instant::now() < until {
            let answer = tokio::time::timeout(PAUSE * 10, client.get(&url).send());
            tokio::select! {
                answer = answer => if matches!(answer, Ok(Ok(_))) { return Ok(()) },
                status = self.child.wait() => bail!("`{}` ended before it answered: {}", self.name, status?),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE);
        }
        let seconds = patience.as_secs();
        bail!("`{}` has not answered within {seconds} s; give it more time with --start-timeout", self.name)
    }

    /// Asks it to end, and ends it if it doesn't.
    pub(crate) async fn stop(mut self) {
        self.group.terminate();
        let _ = tokio::time::timeout(GRACE, self.child.wait()).await;
        // What it left behind in its group ends here.
        self.group.kill();
        let _ = self.child.wait().await;
    }
}

/// A client for a target, and the address of the program's first page.
fn client(target: &Target, base_url: &str) -> anyhow::Result<(reqwest::Client, String)> {
    let builder = crate::http_client().redirect(reqwest::redirect::Policy::none()).no_proxy();
    Ok(match target {
        Target::Socket(path) => (builder.unix_socket(path.as_path()).build()?, format!("http://localhost{base_url}")),
        Target::Address(url) => (builder.build()?, format!("{url}{base_url}")),
    })
}

fn fill_in(command: &[String], place: &Place<'_>) -> anyhow::Result<(Vec<String>, Target)> {
    let mentions = |placeholder: &str| command.iter().any(|argument| argument.contains(placeholder));
    let (target, port) = if mentions("{socket}") && mentions("{port}") {
        bail!("the command has both {{socket}} and {{port}}: the program listens in one place, so leave one out");
    } else if mentions("{socket}") {
        (Target::Socket(place.socket.to_owned()), String::new())
    } else if mentions("{port}") {
        let port = free_port().context("failed to find a free port")?.to_string();
        (Target::Address(format!("http://127.0.0.1:{port}")), port)
    } else {
        bail!(
            "the command must say where the program listens: write {{socket}} where it takes a Unix socket's path, or {{port}} where it takes a port"
        );
    };
    let socket = place.socket.to_string_lossy();
    let fill = |argument: &String| {
        argument.replace("{socket}", &socket).replace("{port}", &port).replace("{base_url}", place.base_url)
    };
    Ok((command.iter().map(fill).collect(), target))
}

/// The token that a file named by the environment holds.
///
/// # Errors
/// It can't be read.
pub(crate) fn token_file(variables: &Variables) -> anyhow::Result<Option<String>> {
    let file = variables.get("JUPYTER_TOKEN_FILE").filter(|file| !file.is_empty());
    file.map(|file| {
        std::fs::read_to_string(file).with_context(|| format!("failed to read {file}, which JUPYTER_TOKEN_FILE names"))
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place<'static> {
        Place { socket: Path::new("/run/x/a.sock"), base_url: "/b/", root_dir: Path::new("/") }
    }

    fn words(command: &[&str]) -> Vec<String> {
        command.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn placeholders_say_where_the_program_listens() {
        let (command, target) = fill_in(&words(&["p", "--at={socket}", "{base_url}x"]), &place()).unwrap();
        assert_eq!(command, ["p", "--at=/run/x/a.sock", "/b/x"]);
        assert_eq!(target.url(), "http+unix://%2Frun%2Fx%2Fa%2Esock");
        let (command, target) = fill_in(&words(&["p", "{port}"]), &place()).unwrap();
        assert_eq!(target, Target::Address(format!("http://127.0.0.1:{}", command[1])));
        let error = fill_in(&words(&["p"]), &place()).unwrap_err().to_string();
        assert!(error.contains("{socket}") && error.contains("{port}"), "{error}");
    }

    #[tokio::test]
    async fn a_program_that_ends_before_it_answers_is_an_error() {
        let place = Place { root_dir: Path::new("/"), ..place() };
        let mut program = Program::start(&words(&["sh", "-c", "exit 3", "{socket}"]), &place).unwrap();
        let error = program.ready("/", Duration::from_secs(10)).await.unwrap_err().to_string();
        assert!(error.contains("ended before it answered") && error.contains('3'), "{error}");
    }

    #[tokio::test]
    async fn a_program_ends_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let note = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; trap '' TERM; wait; {{port}}", note.display());
        let program = Program::start(&words(&["sh", "-c", &script]), &place()).unwrap();
        let pid = loop {
            match std::fs::read_to_string(&note).ok().filter(|text| text.ends_with('\n')) {
                Some(text) => break text.trim().to_owned(),
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        program.stop().await;
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z"), "{state}");
    }
}
