//! Docker's daemon: one that runs is used as it is; where none runs, one is started and later stopped.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::{process::Command, time::sleep};

use crate::{
    digest::Key,
    docker::{Docker, SOCKET},
    places::Places,
    program::{Program, last_lines, which},
    progress::step,
    scratch::Scratch,
};

/// Our daemon, in the cache: what tells it from another process that got its id later.
const RECORD: &str = "dockerd.json";
const LOG: &str = "logs/dockerd.log";
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(40);
/// The runtime that asks for no more capabilities than this machine has.
const NARROWED: &str = "runc-within-bounds";

/// A process that cannot be mistaken for another one, even after a reboot.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    pid: u32,
    name: String,
    /// Clock ticks between boot and the process's start.
    started: u64,
    boot: String,
}

impl Identity {
    fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (name, started) = parse_stat(&stat).context("failed to read a process's start time")?;
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Self { pid, name, started, boot })
    }

    fn lives(&self) -> bool {
        Self::of(self.pid).is_ok_and(|now| now == *self)
    }
}

/// Name and start time of `/proc/PID/stat`. The name is in parentheses and may hold any of them.
fn parse_stat(stat: &str) -> Option<(String, u64)> {
    let (head, tail) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once(" (")?;
    // The fields after the name start with the third; the start time is the 22nd.
    Some((name.to_owned(), tail.split(' ').nth(19)?.parse().ok()?))
}

/// A daemon that starts privileged containers, as kind's nodes are.
pub(crate) async fn ensure(places: &Places) -> Result<Docker> {
    if let Some(docker) = Docker::connect().await {
        let probe = probe_image(places, &docker).await?;
        return match docker.runs_privileged(&probe).await {
            Ok(()) => Ok(docker),
            Err(error) => Err(error.context(
                "the Docker daemon that runs cannot start privileged containers, which kind needs; \
                 it is left as it is. Stop it, and `cargo e2e up` starts one that can",
            )),
        };
    }
    if std::env::var_os("DOCKER_HOST").is_some() {
        bail!("no Docker daemon answers at DOCKER_HOST; start it, or unset DOCKER_HOST to have one started here");
    }
    step(places, "Start Docker", async |_| {
        let docker = start(places, &[]).await?;
        let probe = probe_image(places, &docker).await?;
        if docker.runs_privileged(&probe).await.is_ok() {
            return Ok(docker);
        }
        stop(places).await?;
        let runtime = install_narrowed_runtime(places)?;
        let docker =
            start(places, &["--add-runtime", &format!("{NARROWED}={runtime}"), "--default-runtime", NARROWED]).await?;
        docker.runs_privileged(&probe).await.context("privileged containers do not start on this machine")?;
        Ok(docker)
    })
    .await
}

/// Stops the daemon if it is ours. Its containers end with it. `false`: there is none of ours.
pub(crate) async fn stop(places: &Places) -> Result<bool> {
    let record = places.file(RECORD)?;
    let Some(ours) = ours(places)? else {
        let _ = fs::remove_file(&record);
        return Ok(false);
    };
    Program::new("kill").arg(ours.pid.to_string()).output().await?;
    let start = Instant::now();
    while ours.lives() {
        if start.elapsed() > STOP {
            bail!(
                "dockerd (process {}) did not stop within {} s; see {}",
                ours.pid,
                STOP.as_secs(),
                places.file(LOG)?.display()
            );
        }
        sleep(Duration::from_millis(200)).await;
    }
    fs::remove_file(&record)?;
    Ok(true)
}

/// Whether the daemon that runs is one that was started here.
pub(crate) fn is_ours(places: &Places) -> Result<bool> {
    Ok(ours(places)?.is_some())
}

fn ours(places: &Places) -> Result<Option<Identity>> {
    let record = fs::read(places.file(RECORD)?).ok();
    Ok(record.and_then(|json| serde_json::from_slice::<Identity>(&json).ok()).filter(Identity::lives))
}

async fn start(places: &Places, args: &[&str]) -> Result<Docker> {
    let dockerd = which("dockerd").context("failed to find dockerd; install docker.io")?;
    if Program::new("id").arg("-u").output().await? != "0" {
        bail!(
            "no Docker daemon runs, and only root can start one: start it (`sudo systemctl start docker`), or run this as root"
        );
    }
    for (file, name) in
        [("/var/run/docker.pid", "dockerd"), ("/var/run/docker/containerd/containerd.pid", "containerd")]
    {
        forget_dead(Path::new(file), name);
    }
    let log = places.file(LOG)?;
    let words = OpenOptions::new().create(true).append(true).open(&log)?;
    let mut child = Command::new(dockerd)
        .args(["--host", SOCKET])
        .args(args)
        .stdin(Stdio::null())
        .stdout(words.try_clone()?)
        .stderr(words)
        // It outlives this program and is not reached by the terminal's Ctrl-C.
        .process_group(0)
        .spawn()
        .context("failed to start dockerd")?;
    let pid = child.id().context("dockerd ended at once")?;
    let began = Instant::now();
    loop {
        if let Some(docker) = Docker::connect().await {
            serde_json::to_writer(File::create(places.file(RECORD)?)?, &Identity::of(pid)?)?;
            return Ok(docker);
        }
        let ended = child.try_wait()?;
        if ended.is_some() || began.elapsed() > START {
            let words = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
            bail!("dockerd did not come up; its last words, all in {}:\n{}", log.display(), last_lines(&words, 15));
        }
        sleep(Duration::from_millis(300)).await;
    }
}

/// Removes the pid file of a daemon that was killed: its number may belong to another program by now, and the next daemon
/// would take that one for itself.
fn forget_dead(pid_file: &Path, name: &str) {
    let pid = fs::read_to_string(pid_file).ok().and_then(|text| text.trim().parse().ok());
    if pid.and_then(|pid| Identity::of(pid).ok()).is_none_or(|process| process.name != name) {
        let _ = fs::remove_file(pid_file);
    }
}

/// The runtime's path, in the cache, where it outlives a checkout that moves.
fn install_narrowed_runtime(places: &Places) -> Result<String> {
    let path = places.file(NARROWED)?;
    fs::copy(places.source("node/runc-within-bounds"), &path)?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok(path.to_string_lossy().into_owned())
}

/// An image that needs no registry and ends at once: the pause program of the nodes.
async fn probe_image(places: &Places, docker: &Docker) -> Result<String> {
    let pause = pause_program(places).await?;
    Scratch::new("hub-e2e/pause").program(&pause, "pause").ensure(places, docker).await
}

/// Compiles the pause program, with the C compiler that Rust's linking needs anyway.
pub(crate) async fn pause_program(places: &Places) -> Result<std::path::PathBuf> {
    let source = places.source("node/pause.c");
    let program = places.file(&format!("pause/{}/pause", Key::default().files(&source)?.finish()))?;
    if !program.exists() {
        let made = program.with_extension("new");
        Program::new("cc").args(["-static", "-Os", "-s", "-o"]).arg(&made).arg(&source).output().await?;
        fs::rename(made, &program)?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_and_not_by_its_number_alone() {
        let me = Identity::of(std::process::id()).unwrap();
        assert!(me.lives());
        assert!(!Identity { started: me.started + 1, ..Identity::of(me.pid).unwrap() }.lives());
        assert!(!Identity { name: "dockerd".to_owned(), ..me }.lives());
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) (b) S 1 7 7 0 -1 4194560 1 0 0 0 2 3 0 0 20 0 9 0 12345 100 200";
        assert_eq!(parse_stat(stat), Some(("a) (b".to_owned(), 12345)));
    }

    #[test]
    fn a_stale_pid_file_goes_and_a_live_ones_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let me = Identity::of(std::process::id()).unwrap();
        fs::write(file.path(), me.pid.to_string()).unwrap();
        forget_dead(file.path(), &me.name);
        assert!(file.path().exists());
        forget_dead(file.path(), "dockerd");
        assert!(!file.path().exists());
    }
}
