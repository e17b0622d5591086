//! What the kernel knows of a process: its CPU time, its memory, its ports, and the cores that it may use.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{process::Command, time::sleep};

use crate::{places::Places, program::Program};

/// A tick of the times in `/proc`: Linux shows hundredths of a second, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);
/// State of a socket that listens, in `/proc/net/tcp`.
const LISTEN: &str = "0A";
/// How long strace takes to hold every thread.
const ATTACH: Duration = Duration::from_millis(500);

/// Where the load generator and the server run: two cores of their own, if there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cores {
    /// The generator on the first, the server that is measured on the second.
    Apart,
    Shared,
}

impl Cores {
    /// Keeps this process, and whatever it starts, on the first core.
    pub(super) async fn claim() -> Result<Self> {
        if available_parallelism()?.get() < 2 {
            return Ok(Self::Shared);
        }
        let pid = std::process::id().to_string();
        Program::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", "0", &pid]).output().await?;
        Ok(Self::Apart)
    }

    /// The same, and all of these may open as many files as the system lets them.
    pub(super) async fn claim_with_files() -> Result<Self> {
        let pid = std::process::id().to_string();
        let most = Program::new("prlimit").args(["--nofile", "--raw", "--noheadings", "--output=HARD"]);
        let most = most.output().await?;
        Program::new("prlimit").arg(format!("--nofile={most}")).args(["--pid", &pid]).output().await?;
        Self::claim().await
    }

    /// A program on the core of what is measured.
    pub(super) fn program(self, program: &Path) -> Program {
        match self {
            Self::Apart => Program::new("taskset").args(["--cpu-list", "1"]).arg(program),
            Self::Shared => Program::new(program),
        }
    }

    /// The same, to be started in other ways.
    pub(super) fn command(self, program: &Path) -> Command {
        match self {
            Self::Apart => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", "1"]).arg(program);
                command
            }
            Self::Shared => Command::new(program),
        }
    }
}

/// When and on what something was measured.
pub(super) fn machine(cores: Cores) -> String {
    let date = jiff::Zoned::now().date();
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = cpus.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let models: Vec<_> = models.map(|(_, model)| model.trim()).collect();
    let (count, model) = (models.len(), models.first().unwrap_or(&"an unknown processor"));
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let pinned = match cores {
        Cores::Apart => "the load generator has one core, what is measured another",
        Cores::Shared => "the load generator and what is measured share the only core",
    };
    format!("on {date}, on {count} cores of `{model}`; {pinned}; the load average at the end was {load}")
}

/// A process, by its number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(pub(crate) u32);

impl Process {
    fn file(self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.0))
    }

    /// CPU time so far, in the program and for it in the kernel, without its children.
    pub(super) fn cpu(self) -> Result<Duration> {
        let stat = fs::read_to_string(self.file("stat")).context("the process that is measured has ended")?;
        ticks(&stat).map(|ticks| TICK * ticks).with_context(|| format!("failed to read CPU times of {stat}"))
    }

    /// Memory in bytes, what is shared with others divided among them (PSS).
    pub(super) fn memory(self) -> Result<f64> {
        let rollup = fs::read_to_string(self.file("smaps_rollup")).context("failed to read the process's memory")?;
        let kib =
            rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        kib.map(|kib: f64| kib * 1024.0).context("the kernel does not tell the process's memory")
    }

    /// What it has open: files and others by path, sockets as `socket:[INODE]`.
    pub(super) fn open_files(self) -> Result<Vec<PathBuf>> {
        let files = fs::read_dir(self.file("fd")).context("failed to list the process's files")?;
        Ok(files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).collect())
    }

    /// The ports of IPv4 on which it listens.
    pub(crate) fn ports(self) -> Result<BTreeSet<u16>> {
        let inodes = self.open_files()?.iter().filter_map(|link| socket(link)).collect();
        Ok(listeners(&fs::read_to_string(self.file("net/tcp"))?, &inodes))
    }

    /// How many sockets it has open.
    pub(super) fn sockets(self) -> Result<usize> {
        Ok(self.open_files()?.iter().filter_map(|link| socket(link)).count())
    }

    /// How often it asks the disk to keep what was written, while something is done. `None` where nobody may watch it.
    pub(super) async fn fsyncs<T>(
        self,
        places: &Places,
        work: impl Future<Output = Result<T>>,
    ) -> Result<Option<(usize, T)>> {
        let trace = places.file("bench/fsyncs")?;
        let pid = self.0.to_string();
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-p", &pid, "-o"])
            .arg(&trace)
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let mut strace = match strace {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            strace => strace.context("failed to start strace")?,
        };
        sleep(ATTACH).await;
        if strace.try_wait()?.is_some() {
            return Ok(None); // this kernel lets nobody watch
        }
        let done = work.await?;
        let watcher = strace.id().context("strace ended")?;
        Program::new("kill").args(["-INT", &watcher.to_string()]).output().await?;
        strace.wait().await?;
        let calls = fs::read_to_string(trace)?.lines().filter(|line| is_call(line)).count();
        Ok(Some((calls, done)))
    }
}

/// The inode of a socket, of what [`Process::open_files`] gives.
fn socket(link: &Path) -> Option<String> {
    Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
}

/// A line of strace's that begins a call; one that another thread cut in two is counted at its beginning.
fn is_call(line: &str) -> bool {
    (line.contains("fsync(") || line.contains("fdatasync(")) && !line.contains("resumed>")
}

/// Sum of fields 14 and 15 of `/proc/PID/stat`. The program's name may hold anything, so fields count from its end.
fn ticks(stat: &str) -> Option<u32> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?)
}

/// Ports of sockets in `/proc/net/tcp` that listen.
fn listeners(table: &str, inodes: &BTreeSet<String>) -> BTreeSet<u16> {
    let rows = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(3) == Some(&LISTEN) && row.get(9).is_some_and(|inode| inodes.contains(*inode)))
        .filter_map(|row| u16::from_str_radix(row.get(1)?.split_once(':')?.1, 16).ok())
        .collect()
}

/// Work, the time that it took and the CPU time that a process needed meanwhile.
pub(super) async fn measured<T>(
    process: Process,
    work: impl Future<Output = Result<T>>,
) -> Result<(T, Duration, Duration)> {
    let (before, start) = (process.cpu()?, Instant::now());
    let done = work.await?;
    let (time, cpu) = (start.elapsed(), process.cpu()?.saturating_sub(before));
    ensure!(cpu > Duration::ZERO, "too little was done to be measured");
    Ok((done, time, cpu))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 31 11 5 5 20 0 1 0 100 0 0";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_known() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Process(std::process::id());
        assert!(this.ports().unwrap().contains(&listener.local_addr().unwrap().port()));
        assert!(this.memory().unwrap() > 1e6);
        let sockets = this.sockets().unwrap();
        assert!((1..=this.open_files().unwrap().len()).contains(&sockets));
        assert!(this.cpu().is_ok());
    }

    #[test]
    fn a_call_that_was_cut_in_two_counts_once() {
        let trace = ["7 fdatasync(9 <unfinished ...>", "8 fsync(3) = 0", "7 <... fdatasync resumed>) = 0"];
        assert_eq!(trace.iter().filter(|line| is_call(line)).count(), 2);
    }
}
