//! Processes that the program leaves behind. Somebody must take note of their ends, or each stays in the table of
//! processes for ever: in a container the front is the first process, and there is nobody else.

use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
use std::fs;
use tokio::signal::unix::{SignalKind, signal};

/// From now on processes are left to this one, outside a container, too.
pub(crate) fn adopt() {
    let _ = set_child_subreaper(Some(getpid()));
}

/// Takes note of the ends of all that were left to this process, for ever. `own` is waited for elsewhere.
pub(crate) async fn bury(own: Option<u32>) {
    let Ok(mut ends) = signal(SignalKind::child()) else { return std::future::pending().await };
    loop {
        for pid in ended_children().filter(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok() != own) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        ends.recv().await;
    }
}

/// Children of this process that have ended and were not waited for.
fn ended_children() -> impl Iterator<Item = Pid> {
    let parent = getpid().as_raw_nonzero().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Pid::from_raw).filter(move |pid| is_ended_child(*pid, &parent))
}

/// The state and the parent are fields 3 and 4 of `/proc/<pid>/stat`, after the name in brackets.
fn is_ended_child(pid: Pid, parent: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    let mut fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace()).into_iter().flatten();
    fields.next() == Some("Z") && fields.next() == Some(parent)
}
