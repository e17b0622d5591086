//! Signals that end a program in order.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stopping` at the first signal of one of these kinds.
///
/// # Errors
/// A signal can't be listened for.
pub fn stop_on(kinds: &[SignalKind], stopping: &CancellationToken) -> io::Result<()> {
    // Under `nohup` a closed terminal is nothing to end for.
    for kind in kinds.iter().filter(|kind| !is_ignored(**kind)) {
        let (mut signals, stopping) = (signal(*kind)?, stopping.clone());
        tokio::spawn(async move {
            signals.recv().await;
            stopping.cancel();
        });
    }
    Ok(())
}

/// Whether whoever started this program asked it to pass a signal over (proc(5), `SigIgn`).
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or_default();
    ignored & (1 << (kind.as_raw_value() - 1)) != 0
}
