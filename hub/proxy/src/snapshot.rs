//! Keeps the routing table over a restart of the process, so that nobody's server vanishes while the hub notices.

use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::Snapshot;
use crate::table::RouteTable;

/// Changes that come together are written together.
const DEBOUNCE: Duration = Duration::from_millis(20);
/// A table that does not change is written again so often: its age tells how long the process has been gone.
const RENEW: Duration = Duration::from_secs(20);
/// An older snapshot may send people to servers that others have by now.
const MAX_AGE: SignedDuration = SignedDuration::from_secs(60);

#[derive(Debug, Serialize, Deserialize)]
struct Document<R> {
    pod_uid: String,
    written_at: Timestamp,
    /// Routes by path.
    routes: R,
}

/// Why a snapshot was left alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("failed to read it: {0}")]
    Read(#[from] io::Error),
    #[error("failed to parse it: {0}")]
    Parse(#[from] serde_json::Error),
    #[error("another pod wrote it")]
    OtherPod,
    #[error("it is older than 60 s")]
    TooOld,
}

/// Fills the table from a fresh snapshot and gives the number of routes.
pub(crate) fn restore(snapshot: &Snapshot, table: &RouteTable, now: Timestamp) -> Result<usize, SnapshotError> {
    let document: Document<Map<String, Value>> = serde_json::from_slice(&std::fs::read(&snapshot.file)?)?;
    if document.pod_uid != snapshot.pod_uid {
        return Err(SnapshotError::OtherPod);
    }
    if now.duration_since(document.written_at).abs() > MAX_AGE {
        return Err(SnapshotError::TooOld);
    }
    let mut restored = 0;
    for (path, data) in document.routes {
        let Value::Object(data) = data else { continue };
        match table.restore(&path, data) {
            Ok(()) => restored += 1,
            Err(error) => tracing::warn!(%error, "a route of the snapshot is left out"),
        }
    }
    Ok(restored)
}

/// Writes the table soon after each change, and now and then without one, for as long as the proxy runs.
pub(crate) async fn keep(snapshot: &Snapshot, table: &RouteTable) {
    loop {
        if tokio::time::timeout(RENEW, table.changed()).await.is_ok() {
            tokio::time::sleep(DEBOUNCE).await;
        }
        if table.is_filled() {
            let (snapshot, table) = (snapshot.clone(), table.clone());
            // The blocking pool: a large table takes longer to write than requests should wait.
            let written = tokio::task::spawn_blocking(move || write(&snapshot, &table, Timestamp::now())).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "failed to write the routing table's snapshot");
            }
        }
    }
}

/// Writes the table beside the file and renames it, so that the file is always whole.
pub(crate) fn write(snapshot: &Snapshot, table: &RouteTable, now: Timestamp) -> io::Result<()> {
    let document = Document { pod_uid: snapshot.pod_uid.clone(), written_at: now, routes: table.all(None) };
    let temporary = snapshot.file.with_extension("tmp");
    let _ = std::fs::remove_file(&temporary);
    write_private(&temporary, &serde_json::to_vec(&document)?)?;
    std::fs::rename(&temporary, &snapshot.file)
}

fn write_private(file: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_fresh_snapshot_of_the_same_pod_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let of_pod = |uid: &str| Snapshot { file: directory.path().join("routes.json"), pod_uid: uid.to_owned() };
        let (ours, now) = (of_pod("a"), Timestamp::now());
        assert!(matches!(restore(&ours, &RouteTable::new(false, true), now), Err(SnapshotError::Read(_))));

        let table = RouteTable::new(false, true);
        let data = json!({"target": "http://127.0.0.1:1", "user": "a", "jupyterhub": true});
        table.add("/user/a", data.as_object().cloned().unwrap()).unwrap();
        write(&ours, &table, now).unwrap();
        assert_eq!(std::fs::metadata(&ours.file).unwrap().permissions().mode() & 0o777, 0o600);

        let restored = RouteTable::new(false, true);
        assert_eq!(restore(&ours, &restored, now + SignedDuration::from_secs(59)).unwrap(), 1);
        assert!(restored.is_filled());
        assert_eq!(serde_json::json!(restored.all(None)), serde_json::json!(table.all(None)));

        let empty = RouteTable::new(false, true);
        assert!(matches!(restore(&of_pod("b"), &empty, now), Err(SnapshotError::OtherPod)));
        assert!(matches!(restore(&ours, &empty, now + SignedDuration::from_secs(61)), Err(SnapshotError::TooOld)));
        std::fs::write(&ours.file, "{").unwrap();
        assert!(matches!(restore(&ours, &empty, now), Err(SnapshotError::Parse(_))));
        assert!(!empty.is_filled() && empty.is_empty());
    }
}
