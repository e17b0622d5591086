//! Signals that end a program in order.

use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancels `stopping` at the first signal of one of these kinds.
///
/// # Errors
/// A signal can't be listened for.
pub fn stop_on(kinds: &[SignalKind], stopping: &CancellationToken) -> io::Result<()> {
    for kind in kinds {
        let (mut signals, stopping) = (signal(*kind)?, stopping.clone());
        tokio::spawn(async move {
            signals.recv().await;
            stopping.cancel();
        });
    }
    Ok(())
}
