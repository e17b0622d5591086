//! A process and all that it started, as one group that can be told to end.

use rustix::process::{Pid, Signal, getuid, kill_process_group};
use serde_json::Value;
use std::fs;
use tokio::process::Child;

/// A process group. Its leader is the server; the number and the time of its start name it for good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    leader: Pid,
    /// Clock ticks since boot; 0 where `/proc` does not tell.
    started: u64,
}

impl Group {
    /// The group that a child leads; `None` if it has ended and was waited for.
    #[must_use]
    pub fn of(child: &Child) -> Option<Self> {
        let leader = Pid::from_raw(i32::try_from(child.id()?).ok()?)?;
        Some(Self { leader, started: start_time(leader).unwrap_or(0) })
    }

    /// The group that an earlier program wrote down, if its leader still lives: a number alone may be another program's by now.
    #[must_use]
    pub fn from_state(state: &Value) -> Option<Self> {
        let leader = Pid::from_raw(i32::try_from(state.get("pid")?.as_i64()?).ok()?)?;
        let started = state.get("started")?.as_u64()?;
        (started != 0 && start_time(leader) == Some(started)).then_some(Self { leader, started })
    }

    #[must_use]
    pub fn pid(self) -> i32 {
        self.leader.as_raw_nonzero().get()
    }

    #[must_use]
    pub fn started(self) -> u64 {
        self.started
    }

    /// Asks all of it to end. A group that is gone is no error.
    pub fn terminate(self) {
        let _ = kill_process_group(self.leader, Signal::TERM);
    }

    /// Ends all of it.
    pub fn kill(self) {
        let _ = kill_process_group(self.leader, Signal::KILL);
    }
}

/// Whether this program is root: Jupyter refuses to run as root unless it is told that this is meant.
#[must_use]
pub fn runs_as_root() -> bool {
    getuid().is_root()
}

/// Field 22 of `/proc/<pid>/stat`. The program's name before it may hold anything, so fields count from its end.
fn start_time(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}
