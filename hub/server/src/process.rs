//! A process and all that it started, as one group that can be told to end.

use rustix::process::{Pid, Signal, getuid, kill_process_group};
use serde_json::Value;
use std::{fs, time::Duration};
use tokio::{process::Child, time::sleep};

/// How often a process is looked at that is no child of ours.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

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

    /// The group of a process that leads one, if it lives.
    #[must_use]
    pub fn of_leader(pid: i32) -> Option<Self> {
        let leader = Pid::from_raw(pid)?;
        Some(Self { leader, started: start_time(leader)? })
    }

    #[must_use]
    pub fn pid(self) -> i32 {
        self.leader.as_raw_nonzero().get()
    }

    #[must_use]
    pub fn started(self) -> u64 {
        self.started
    }

    /// Waits until the leader has ended, whoever started it.
    pub async fn ended(self) {
        while start_time(self.leader) == Some(self.started) {
            sleep(LOOK_INTERVAL).await;
        }
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

/// Id of the user whom this program runs as.
#[must_use]
pub fn user_id() -> u32 {
    getuid().as_raw()
}

/// When a process started, in clock ticks since boot; `None` if it has ended, also if nobody took note of its end. Fields 22
/// and 3 of `/proc/<pid>/stat`; the program's name before them may hold anything, so fields count from its end.
fn start_time(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let has_ended = matches!(fields.first(), Some(&"Z" | &"X"));
    if has_ended { None } else { fields.get(19)?.parse().ok() }
}
