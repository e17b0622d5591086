//! The tables of a new database, and what JupyterHub puts into them at its first start.

use super::{Database, Result, column, failed, sql};
use hub_auth::scopes::roles;

/// The revision of JupyterHub's schema that this hub reads and writes.
pub const REVISION: &str = "f460b0348206";

/// Tokens that aren't from OAuth carry this client's id.
pub(super) const OWN_CLIENT: &str = "jupyterhub";

impl Database {
    pub(super) async fn create(&self) -> Result<()> {
        const ACTION: &str = "make the tables";
        let mut tx = self.pool.begin().await.map_err(failed(ACTION))?;
        sql::run_script(include_str!("schema.sql"), &mut tx).await.map_err(failed(ACTION))?;
        sql::query("INSERT INTO alembic_version (version_num) VALUES ($1)")
            .bind(REVISION)
            .execute(&mut *tx)
            .await
            .map_err(failed(ACTION))?;
        for role in roles::DEFAULTS {
            sql::query("INSERT INTO roles (name, description, scopes, managed_by_auth) VALUES ($1, $2, $3, FALSE)")
                .bind(role.name)
                .bind(role.description)
                .bind(column::list_text(role.scopes))
                .execute(&mut *tx)
                .await
                .map_err(failed(ACTION))?;
        }
        sql::query(
            "INSERT INTO oauth_clients (identifier, description, secret, redirect_uri, allowed_scopes)
             VALUES ($1, 'JupyterHub', '', '', '[]')",
        )
        .bind(OWN_CLIENT)
        .execute(&mut *tx)
        .await
        .map_err(failed(ACTION))?;
        tx.commit().await.map_err(failed(ACTION))
    }

    pub(super) async fn create_own(&self) -> Result<()> {
        const ACTION: &str = "make the hub's own tables";
        let mut connection = self.pool.acquire().await.map_err(failed(ACTION))?;
        sql::run_script(include_str!("own.sql"), &mut connection).await.map_err(failed(ACTION))
    }
}
