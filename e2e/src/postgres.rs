//! A PostgreSQL of a test's own on this machine, with data that nobody keeps.

use std::{
    ffi::OsString,
    fs,
    io::Write,
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use crate::program::{Program, last_lines};

/// Where Debian puts each version of it.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Whom it runs as where the tests run as root, which it refuses.
const USER: &str = "postgres";
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// A server. It ends with this.
pub(crate) struct Postgres {
    bin: PathBuf,
    dir: TempDir,
    address: IpAddr,
    port: u16,
    process: Child,
}

/// Whom it lets in from elsewhere than this machine needs a password.
const PASSWORD: &str = "let-the-hub-in";

impl Postgres {
    /// Starts one for this machine.
    pub(crate) async fn start() -> Result<Self> {
        Self::start_at(Ipv4Addr::LOCALHOST.into()).await
    }

    /// Starts one that others find at this address, too, which is one of this machine's.
    pub(crate) async fn start_at(address: IpAddr) -> Result<Self> {
        let bin = newest()?;
        let dir = tempfile::tempdir()?;
        if is_root().await? {
            let id = Program::new("id").args(["-u", USER]).output().await?.trim().parse()?;
            chown(dir.path(), Some(id), None)?;
        }
        let data = dir.path().join("data");
        let (program, before) = as_user(&bin.join("initdb")).await?;
        let init = Program::new(program).args(before);
        let made = init.args(["--auth=trust", "--username=hub", "--no-sync", "-D"]).arg(&data).output().await;
        made.context("failed to make PostgreSQL's data")?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let hba = fs::OpenOptions::new().append(true).open(data.join("pg_hba.conf"));
        hba?.write_all(b"host all all all scram-sha-256\n")?;
        let process = run(&bin, dir.path(), address, port).await?;
        let mut started = Self { bin, dir, address, port, process };
        started.answers().await?;
        started.run("psql", &["-c", &format!("ALTER ROLE hub PASSWORD '{PASSWORD}'"), "postgres"]).await?;
        Ok(started)
    }

    /// The address of a new database.
    pub(crate) async fn database(&self, name: &str) -> Result<String> {
        self.run("createdb", &[name]).await?;
        Ok(format!("postgresql://hub:{PASSWORD}@{}:{}/{name}", self.address, self.port))
    }

    async fn run(&self, program: &str, args: &[&str]) -> Result<()> {
        let program = Program::new(self.bin.join(program)).args(["-h", "127.0.0.1", "-U", "hub", "-p"]);
        program.arg(self.port.to_string()).args(args).output().await.map(drop)
    }

    /// Ends it, as an administrator does who doesn't wait for clients, and starts it again.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.signal("INT", &[self.pid()?]).await?;
        timeout(STOP, self.process.wait()).await.context("PostgreSQL does not end")??;
        self.process = run(&self.bin, self.dir.path(), self.address, self.port).await?;
        self.answers().await
    }

    /// Nothing of it moves until [`Self::resume`].
    pub(crate) async fn stall(&self) -> Result<()> {
        self.signal("STOP", &self.processes().await?).await
    }

    pub(crate) async fn resume(&self) -> Result<()> {
        self.signal("CONT", &self.processes().await?).await
    }

    async fn processes(&self) -> Result<Vec<u32>> {
        let own = self.pid()?;
        let children = Program::new("pgrep").args(["--parent", &own.to_string()]).output().await?;
        let children = children.lines().map(str::parse).collect::<Result<Vec<u32>, _>>()?;
        Ok([vec![own], children].concat())
    }

    async fn signal(&self, signal: &str, to: &[u32]) -> Result<()> {
        let kill = Program::new("kill").args(["-s", signal]);
        kill.args(to.iter().map(u32::to_string)).output().await.map(drop)
    }

    fn pid(&self) -> Result<u32> {
        self.process.id().context("PostgreSQL has ended")
    }

    async fn answers(&mut self) -> Result<()> {
        let end = Instant::now() + START;
        let port = self.port.to_string();
        loop {
            let ready = Program::new(self.bin.join("pg_isready")).args(["-q", "-h", "127.0.0.1", "-p", &port]);
            if ready.output().await.is_ok() {
                return Ok(());
            }
            let words = || last_lines(&fs::read_to_string(self.dir.path().join("log")).unwrap_or_default(), 10);
            if let Some(status) = self.process.try_wait()? {
                bail!("PostgreSQL ended with {status}\n{}", words());
            }
            ensure!(Instant::now() < end, "PostgreSQL does not answer\n{}", words());
            sleep(POLL).await;
        }
    }
}

impl Drop for Postgres {
    /// At once, and its processes with it: those of one that is killed would go on.
    fn drop(&mut self) {
        let Some(pid) = self.process.id() else { return };
        let _ = std::process::Command::new("kill").args(["-s", "QUIT", &pid.to_string()]).status();
        let end = Instant::now() + STOP;
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(POLL);
        }
    }
}

/// The program directory of the newest version.
fn newest() -> Result<PathBuf> {
    let versions = fs::read_dir(VERSIONS).with_context(|| format!("failed to find PostgreSQL in {VERSIONS}"))?;
    let mut versions: Vec<_> = versions.map(|entry| Ok(entry?.path().join("bin"))).collect::<Result<_>>()?;
    versions.retain(|bin| bin.join("initdb").exists());
    versions.sort();
    versions.pop().with_context(|| format!("no version in {VERSIONS} has initdb"))
}

async fn is_root() -> Result<bool> {
    Ok(Program::new("id").arg("-u").output().await?.trim() == "0")
}

/// A program of PostgreSQL as somebody who isn't root: what to run, with which arguments before its own. Nothing stands
/// between it and signals.
async fn as_user(program: &Path) -> Result<(PathBuf, Vec<OsString>)> {
    if !is_root().await? {
        return Ok((program.to_owned(), Vec::new()));
    }
    let drop = ["--reuid", USER, "--regid", USER, "--clear-groups", "--"].map(OsString::from);
    Ok(("setpriv".into(), drop.into_iter().chain([program.into()]).collect()))
}

async fn run(bin: &Path, dir: &Path, address: IpAddr, port: u16) -> Result<Child> {
    let log = fs::OpenOptions::new().create(true).append(true).open(dir.join("log"))?;
    let (program, before) = as_user(&bin.join("postgres")).await?;
    let mut command = Command::new(program);
    command.args(before);
    command.arg("-D").arg(dir.join("data")).args(["-p", &port.to_string(), "-k"]).arg(dir);
    let listen = match address.is_loopback() {
        true => format!("listen_addresses={address}"),
        false => format!("listen_addresses=127.0.0.1,{address}"),
    };
    // Nothing here must outlive a power cut, and many tests run at a time.
    command.args(["-c", &listen, "-c", "fsync=off", "-c", "max_connections=400"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
    command.spawn().context("failed to start PostgreSQL")
}
