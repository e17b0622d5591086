//! Servers as processes on this machine. `hub local`'s end with the hub; those of `hub serve` outlive a hub that is killed,
//! and the next one takes them up.

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    env, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, watch},
};
use tracing::debug;
use url::Url;

use super::{Change, Health, Progress, ProgressSender, ServerName, SpawnError, StartRequest, Started};
use hub_server::{Group, free_port, runs_as_root};
use secrecy::ExposeSecret;

mod inherited;
mod owner;

use owner::Account;
pub use owner::Owner;

/// What a process gets of the hub's own environment, beside `JUPYTERHUB_*`: where programs are, and whose they are.
const KEPT: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "TMPDIR",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "CONDA_ROOT",
    "CONDA_DEFAULT_ENV",
    "JUPYTERHUB_SINGLEUSER_APP",
];
/// How long a process has to end before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// How local servers are started.
#[derive(Clone, Debug)]
pub struct LocalSettings {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// A `hub` program that guards the command with `hub server`, or Jupyter if the command is empty.
    pub front: Option<PathBuf>,
    /// Logs, and Jupyter's own runtime files, one directory for each server; made if it is not there.
    pub runtime_dir: PathBuf,
    /// Whose processes they are, and where they begin.
    pub owner: Owner,
    /// Time that a server has to have an address, and to answer.
    pub start_timeout: Duration,
    pub http_timeout: Duration,
    /// Where servers listen; the port 0 is a free one for each.
    pub ip: IpAddr,
    pub port: u16,
    /// Variables that servers get beside JupyterHub's own; `{username}` is the user's name, `{base_url}` the hub's path.
    pub templates: BTreeMap<String, String>,
    /// The same, as they are. They win over all others.
    pub environment: BTreeMap<String, String>,
    /// Variables of the hub's own environment that servers get beside [`KEPT`].
    pub env_keep: Vec<String>,
    /// Servers go on when the hub ends, and the next hub takes them up.
    pub outlive_hub: bool,
}

impl LocalSettings {
    /// `jupyterhub-singleuser`, with its files in `root_dir`.
    pub fn new(runtime_dir: PathBuf, root_dir: PathBuf) -> Self {
        Self {
            command: vec!["jupyterhub-singleuser".to_owned()],
            front: None,
            runtime_dir,
            owner: Owner::Hub { root_dir },
            start_timeout: Duration::from_secs(60),
            http_timeout: Duration::from_secs(60),
            ip: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            templates: BTreeMap::new(),
            environment: BTreeMap::new(),
            env_keep: Vec::new(),
            outlive_hub: false,
        }
    }

    /// Where a server that listens at this port is found.
    fn address(&self, port: u16) -> Result<Url, SpawnError> {
        let ip = match self.ip {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        format!("http://{}", SocketAddr::new(ip, port)).parse().map_err(|error: url::ParseError| SpawnError::Backend {
            action: "name the server's address",
            source: error.into(),
        })
    }

    /// Whether servers can be started at all; the error says what to install.
    pub fn check(&self) -> Result<(), SpawnError> {
        self.invocation().map(drop)
    }

    /// The program and its arguments.
    fn invocation(&self) -> Result<(PathBuf, Vec<String>), SpawnError> {
        if let Some(hub) = &self.front {
            let mut arguments = vec!["server".to_owned()];
            if !self.command.is_empty() {
                arguments.push("--".to_owned());
                arguments.extend_from_slice(&self.command);
            }
            return Ok((hub.clone(), arguments));
        }
        let name = self.command.first().map(String::as_str).unwrap_or_default();
        let mut arguments = self.command.get(1..).unwrap_or_default().to_vec();
        if matches!(self.owner, Owner::Hub { .. }) && runs_as_root() {
            arguments.push("--allow-root".to_owned());
        }
        Ok((find_program(name, env::var_os("PATH").as_deref())?, arguments))
    }
}

/// Starts servers as processes.
pub struct LocalSpawner {
    settings: LocalSettings,
    running: Arc<Mutex<HashMap<ServerName, Running>>>,
    watchers: Arc<Mutex<Vec<mpsc::UnboundedSender<Change>>>>,
}

/// A process of ours.
#[derive(Clone)]
struct Running {
    group: Group,
    address: Url,
    /// How it ended, once it has.
    ended: watch::Receiver<Option<String>>,
}

impl LocalSpawner {
    pub fn new(settings: LocalSettings) -> Self {
        Self { settings, running: Arc::default(), watchers: Arc::default() }
    }

    pub(super) fn root_dir(&self) -> Option<&Path> {
        self.settings.owner.root_dir()
    }

    pub(super) async fn start(&self, request: &StartRequest, progress: &ProgressSender) -> Result<Started, SpawnError> {
        let (program, arguments) = self.settings.invocation()?;
        let account = self.settings.owner.account(&request.name.user).await?;
        self.stop(&request.name, &request.state).await?;
        let backend = |action| move |error: io::Error| SpawnError::Backend { action, source: error.into() };
        let directory = private_directory(&self.settings.runtime_dir, &request.name)
            .map_err(backend("make the server's runtime directory"))?;
        let port = match self.settings.port {
            0 => free_port().map_err(backend("find a free port"))?,
            port => port,
        };
        let log_file = directory.join("server.log");
        let log = fs::File::create(&log_file).map_err(backend("make the server's log file"))?;
        let errors = log.try_clone().map_err(backend("make the server's log file"))?;
        let mut command = Command::new(&program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment(request, port, &directory, &account, |key| env::var(key).ok()))
            .current_dir(&account.directory)
            .stdin(Stdio::null())
            .stdout(Stdio::from(log))
            .stderr(Stdio::from(errors))
            .process_group(0)
            .kill_on_drop(!self.settings.outlive_hub);
        if let Some((user, group)) = account.ids {
            command.uid(user).gid(group);
        }
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => SpawnError::Refused(format!(
                "{} may not run {} in {}; let every user read both",
                request.name.user,
                program.display(),
                account.directory.display()
            )),
            _ => backend("start the server's process")(error),
        })?;
        let _ = progress.send(Progress { percent: 50, message: "Spawning server...".to_owned(), raw_event: None });
        let gone = || SpawnError::Refused(format!("the server ended at once; see {}", log_file.display()));
        let group = Group::of(&child).ok_or_else(gone)?;
        let state = json!({ "pid": group.pid(), "started": group.started(), "port": port });
        let running = self.keep(&request.name, group, port, how_it_ended(child, log_file))?;
        Ok(Started { address: running.address, state })
    }

    /// Keeps a process that runs, and watches for its end, which `end` waits for and puts into words.
    fn keep(
        &self,
        name: &ServerName,
        group: Group,
        port: u16,
        end: impl Future<Output = String> + Send + 'static,
    ) -> Result<Running, SpawnError> {
        let (ended_sender, ended) = watch::channel(None);
        let running = Running { group, address: self.settings.address(port)?, ended };
        lock(&self.running).insert(name.clone(), running.clone());
        let (name, watchers) = (name.clone(), self.watchers.clone());
        tokio::spawn(async move {
            let reason = end.await;
            debug!(user.name = name.user, server.name = name.server, reason, "process ended");
            ended_sender.send_replace(Some(reason.clone()));
            lock(&watchers).retain(|watcher| {
                let health = Health::Stopped { reason: reason.clone() };
                watcher.send(Change { name: name.clone(), health }).is_ok()
            });
        });
        Ok(running)
    }

    /// A process that an earlier hub left, by what the database says of it; `None` if it is gone, or isn't to be kept.
    fn take_up(&self, name: &ServerName, state: &Value) -> Result<Option<Running>, SpawnError> {
        let port = || state.get("port")?.as_u64()?.try_into().ok();
        let ours = || Group::from_state(state).zip(port());
        let left = if self.settings.outlive_hub { ours().or_else(|| inherited::find(name, state)) } else { None };
        let Some((group, port)) = left else { return Ok(None) };
        let end = async move {
            group.ended().await;
            "the server ended".to_owned()
        };
        self.keep(name, group, port, end).map(Some)
    }

    /// All that the process gets. `inherited` reads the hub's own environment.
    fn environment(
        &self,
        request: &StartRequest,
        port: u16,
        directory: &Path,
        account: &Account,
        inherited: impl Fn(&str) -> Option<String>,
    ) -> BTreeMap<String, String> {
        let mut environment = self::inherited(&self.settings.env_keep, inherited);
        environment.extend(account.variables.clone());
        if account.ids.is_none() {
            let runtime = directory.join("runtime").display().to_string();
            environment.insert("JUPYTER_RUNTIME_DIR".to_owned(), runtime);
        }
        environment.extend(request.environment.clone());
        let base_url = request.environment.get("JUPYTERHUB_BASE_URL").map(String::as_str).unwrap_or_default();
        let filled = |text: &String| text.replace("{username}", &request.name.user).replace("{base_url}", base_url);
        environment.extend(self.settings.templates.iter().map(|(key, text)| (key.clone(), filled(text))));
        let token = request.api_token.expose_secret();
        let listening = SocketAddr::new(self.settings.ip, port);
        environment.extend([
            ("JUPYTERHUB_API_TOKEN".to_owned(), token.to_owned()),
            ("JPY_API_TOKEN".to_owned(), token.to_owned()),
            ("JUPYTERHUB_SERVICE_URL".to_owned(), format!("http://{listening}{}", request.prefix)),
        ]);
        environment.extend(self.settings.environment.clone());
        environment
    }

    pub(super) async fn poll(&self, name: &ServerName, state: &Value) -> Result<Health, SpawnError> {
        let known = lock(&self.running).get(name).cloned();
        let found = match known {
            Some(running) => Some(running),
            None => self.take_up(name, state)?,
        };
        let Some(running) = found else {
            let reason = match Group::from_state(state) {
                // An earlier hub's, killed before it could end it: nobody can be sure that it is whole.
                Some(_) => "the hub that started it has ended",
                None => "it does not run",
            };
            return Ok(Health::Stopped { reason: reason.to_owned() });
        };
        let ended = running.ended.borrow().clone();
        Ok(match ended {
            Some(reason) => Health::Stopped { reason },
            None => Health::Running { address: running.address },
        })
    }

    /// Asks the process group to end, and after [`GRACE`] kills it. What an earlier hub left behind ends too.
    pub(super) async fn stop(&self, name: &ServerName, state: &Value) -> Result<(), SpawnError> {
        let known = lock(&self.running).remove(name);
        let Some(mut running) = known else {
            if let Some(group) = Group::from_state(state) {
                group.kill();
            }
            return Ok(());
        };
        running.group.terminate();
        let late = tokio::time::timeout(GRACE, running.ended.wait_for(Option::is_some)).await.is_err();
        // What the server left behind in its group ends here.
        running.group.kill();
        if late {
            let killed = running.ended.wait_for(Option::is_some);
            if tokio::time::timeout(GRACE, killed).await.is_err() {
                let source = anyhow::anyhow!("the process {} does not end", running.group.pid());
                return Err(SpawnError::Backend { action: "stop the server's process", source });
            }
        }
        Ok(())
    }

    pub(super) fn watch(&self, changes: mpsc::UnboundedSender<Change>) {
        lock(&self.watchers).push(changes);
    }

    pub(super) fn start_timeout(&self) -> Duration {
        self.settings.start_timeout
    }

    pub(super) fn http_timeout(&self) -> Duration {
        self.settings.http_timeout
    }
}

impl Drop for LocalSpawner {
    /// Nothing outlives a hub whose servers are not to.
    fn drop(&mut self) {
        if self.settings.outlive_hub {
            return;
        }
        for running in lock(&self.running).values() {
            running.group.terminate();
        }
    }
}

/// What a process gets of the hub's own environment, `more` among it.
pub(crate) fn inherited(more: &[String], read: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let kept = KEPT.into_iter().chain(more.iter().map(String::as_str));
    kept.filter_map(|key| Some((key.to_owned(), read(key)?))).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program in one of the directories of `path`, or where its own name says.
pub(crate) fn find_on_path(name: &str, path: Option<&std::ffi::OsStr>) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name));
    }
    env::split_paths(path.unwrap_or_default()).map(|directory| directory.join(name)).find(|file| file.is_file())
}

fn find_program(name: &str, path: Option<&std::ffi::OsStr>) -> Result<PathBuf, SpawnError> {
    find_on_path(name, path).ok_or_else(|| {
        SpawnError::Refused(format!(
            "{name} is not installed, or not on PATH: install it with `pip install jupyterhub jupyterlab`, and start the hub \
             again in that environment"
        ))
    })
}

/// A directory of the server's own that only its user can read.
fn private_directory(runtime_dir: &Path, name: &ServerName) -> io::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt;
    let directory = runtime_dir.join(super::kubernetes::slug::user_server(&name.user, &name.server));
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
    Ok(directory)
}

/// Waits for the end of a process, and says how it was, with the last line of its log.
async fn how_it_ended(mut child: Child, log_file: PathBuf) -> String {
    let status = match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let log = tokio::fs::read(&log_file).await.unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let last: String = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").chars().take(200).collect();
    format!("the server ended with {status}: {last} (all of it is in {})", log_file.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    fn request(name: &ServerName) -> StartRequest {
        StartRequest {
            name: name.clone(),
            environment: BTreeMap::from([("JUPYTERHUB_USER".to_owned(), name.user.clone())]),
            prefix: "/user/alice/".to_owned(),
            api_token: SecretString::from("t".repeat(32)),
            user_options: Value::Null,
            overrides: Vec::new(),
            state: Value::Null,
        }
    }

    fn alice() -> ServerName {
        ServerName { user: "alice".to_owned(), server: String::new() }
    }

    fn spawner(script: &str, directory: &Path) -> LocalSpawner {
        let mut settings = LocalSettings::new(directory.join("servers"), directory.to_owned());
        // `--allow-root` is what a shell takes for `$0`.
        settings.command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        LocalSpawner::new(settings)
    }

    #[test]
    fn a_process_gets_the_protocols_environment_and_little_else() {
        let inherited = |key: &str| (key == "PATH").then(|| "/bin".to_owned());
        let expected = [
            ("JPY_API_TOKEN", "t".repeat(32)),
            ("JUPYTERHUB_API_TOKEN", "t".repeat(32)),
            ("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:4711/user/alice/".to_owned()),
            ("JUPYTERHUB_USER", "alice".to_owned()),
            ("JUPYTER_RUNTIME_DIR", "/run/alice/runtime".to_owned()),
            ("PATH", "/bin".to_owned()),
        ];
        let expected: BTreeMap<String, String> = expected.map(|(key, value)| (key.to_owned(), value)).into();
        let spawner = spawner("true", Path::new("/srv"));
        let account = Account::of_hub(Path::new("/srv"));
        let given = spawner.environment(&request(&alice()), 4711, Path::new("/run/alice"), &account, inherited);
        assert_eq!(given, expected);
    }

    #[test]
    fn a_missing_program_is_named_with_the_remedy() {
        let error = find_program("jupyterhub-singleuser", Some("/nonexistent".as_ref())).unwrap_err().to_string();
        assert!(
            error.contains("jupyterhub-singleuser") && error.contains("pip install jupyterhub jupyterlab"),
            "{error}"
        );
    }

    #[test]
    fn a_front_starts_the_command_or_jupyter() {
        let settings = |command: &[&str]| LocalSettings {
            command: command.iter().map(|&word| word.to_owned()).collect(),
            front: Some(PathBuf::from("/bin/hub")),
            ..LocalSettings::new(PathBuf::new(), PathBuf::new())
        };
        let invocation = |command: &[&str]| settings(command).invocation().unwrap();
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(invocation(&[]), (PathBuf::from("/bin/hub"), words(&["server"])));
        assert_eq!(invocation(&["p", "{port}"]), (PathBuf::from("/bin/hub"), words(&["server", "--", "p", "{port}"])));
    }

    #[tokio::test]
    async fn a_server_that_ends_says_why_and_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let spawner = spawner("echo no such kernel >&2; exit 3", directory.path());
        let (sender, mut changes) = mpsc::unbounded_channel();
        spawner.watch(sender);
        let (progress, _lines) = mpsc::unbounded_channel();
        let started = spawner.start(&request(&alice()), &progress).await.unwrap();
        assert_eq!(started.address.host_str(), Some("127.0.0.1"));
        let change = changes.recv().await.unwrap();
        assert_eq!(change.name, alice());
        let Health::Stopped { reason } = spawner.poll(&alice(), &Value::Null).await.unwrap() else { panic!("it runs") };
        assert!(reason.contains("exit status: 3") && reason.contains("no such kernel"), "{reason}");
    }

    /// What a server started in its group ends with it.
    #[tokio::test]
    async fn a_stop_ends_the_whole_group() {
        let directory = tempfile::tempdir().unwrap();
        let spawner = spawner("sleep 300 & echo $! > child; wait", directory.path());
        let (progress, _lines) = mpsc::unbounded_channel();
        spawner.start(&request(&alice()), &progress).await.unwrap();
        let child = loop {
            match fs::read_to_string(directory.path().join("child")) {
                Ok(text) if text.ends_with('\n') => break text.trim().to_owned(),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        spawner.stop(&alice(), &Value::Null).await.unwrap();
        // It was sent the signal; on a busy machine it has not been given the time to end yet.
        let gone = async {
            loop {
                let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
                if stat.is_empty() || stat.contains(") Z ") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.expect("the child ends with its group");
        assert!(matches!(spawner.poll(&alice(), &Value::Null).await.unwrap(), Health::Stopped { .. }));
    }

    /// A hub that was killed leaves processes: the next one ends them by what the database says of them.
    #[tokio::test]
    async fn what_a_killed_hub_left_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let old = spawner("sleep 300", directory.path());
        let (progress, _lines) = mpsc::unbounded_channel();
        let state = old.start(&request(&alice()), &progress).await.unwrap().state;
        let new = spawner("sleep 300", directory.path());
        let health = new.poll(&alice(), &state).await.unwrap();
        assert!(matches!(health, Health::Stopped { .. }), "{health:?}");
        new.stop(&alice(), &state).await.unwrap();
        let mut ended = lock(&old.running)[&alice()].ended.clone();
        tokio::time::timeout(Duration::from_secs(5), ended.wait_for(Option::is_some)).await.unwrap().unwrap();
    }
}
