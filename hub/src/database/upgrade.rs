//! Databases of JupyterHub 5 and early 6 are brought to this hub's revision as JupyterHub's own migrations do it, after a copy
//! was made. Either all of it happens or nothing.

use std::path::Path;

use super::{Database, DatabaseError, REVISION, Result, failed, place::with_suffix, sql};

/// What each revision lacks that the next one has; the first is that of JupyterHub 5.0 to 5.4.
const STEPS: [(&str, &str); 4] = [
    ("4621fec11365", "ALTER TABLE services ADD COLUMN timeout INTEGER DEFAULT '30' NOT NULL"),
    (
        "be8ecf03ddac",
        "ALTER TABLE oauth_codes ADD COLUMN code_challenge VARCHAR(255);
         ALTER TABLE oauth_codes ADD COLUMN code_challenge_method VARCHAR(64)",
    ),
    ("afd65840b69e", "ALTER TABLE users ADD COLUMN user_info TEXT"),
    ("ff1860e38070", "ALTER TABLE spawners ADD COLUMN display_name VARCHAR(255)"),
];

/// What brings a database of this revision to [`REVISION`]; `None` if nobody knows.
fn steps(revision: &str) -> Option<&'static [(&'static str, &'static str)]> {
    STEPS.iter().position(|(from, _)| *from == revision).map(|first| &STEPS[first..])
}

impl Database {
    /// Upgrades a file of an older revision, and keeps it as it was as `<file>.before-upgrade`.
    ///
    /// # Errors
    /// Nobody knows how, there is no file to copy, or it can't be written. Then it is as it was.
    pub(super) async fn upgrade(&self, found: String) -> Result<()> {
        const ACTION: &str = "upgrade the tables";
        let (Some(steps), Some(file)) = (steps(&found), self.place.file()) else {
            return Err(DatabaseError::Revision { place: self.place.clone(), found });
        };
        self.keep_copy(file).await?;
        let mut tx = self.write(ACTION).await?;
        for (_, step) in steps {
            sql::run_script(step, &mut tx).await.map_err(failed(ACTION))?;
        }
        let update = sql::query("UPDATE alembic_version SET version_num = $1").bind(REVISION).execute(&mut *tx);
        update.await.map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))?;
        tracing::warn!(database = %self.place, from = found, to = REVISION, "upgraded the database; a copy of it is beside it");
        Ok(())
    }

    async fn keep_copy(&self, file: &Path) -> Result<()> {
        self.copy_to(&with_suffix(file, ".before-upgrade")).await
    }
}
