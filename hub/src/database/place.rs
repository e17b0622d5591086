//! Where a database is: as people write it, in the addresses of SQLAlchemy that JupyterHub's `db_url` holds.

use sqlx::{AssertSqlSafe, ConnectOptions, postgres::PgConnectOptions};
use std::{
    fmt,
    path::{Path, PathBuf},
};
use url::Url;

use super::{DatabaseError, failed};

/// A database's place. Shown without its password.
#[derive(Clone)]
pub enum Place {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

impl Place {
    /// Reads `sqlite:///hub.sqlite` (below `directory`), `sqlite:////srv/hub.sqlite` or `postgresql://user:password@host/name`,
    /// whose driver (`postgresql+psycopg2`) doesn't matter here.
    ///
    /// # Errors
    /// It is anything else; the text says what to write, and holds nothing of what was there.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        match scheme.split('+').next().unwrap_or_default() {
            "sqlite" => sqlite(rest, directory),
            "postgresql" | "postgres" => postgres(rest),
            "mysql" | "mariadb" => Err("MySQL is not possible here; move the data to PostgreSQL or SQLite".to_owned()),
            _ => Err(REMEDY.to_owned()),
        }
    }

    /// For tests: a new schema of the PostgreSQL that `HUB_TEST_DATABASE` names, if that is set.
    ///
    /// # Errors
    /// It can't be made.
    pub async fn temporary() -> Result<Option<Self>, DatabaseError> {
        let Ok(url) = std::env::var("HUB_TEST_DATABASE") else { return Ok(None) };
        let options: PgConnectOptions = url.parse().map_err(failed("read HUB_TEST_DATABASE"))?;
        let schema = format!("test_{}", hex::encode(rand::random::<[u8; 8]>()));
        let mut connection = options.connect().await.map_err(failed("reach the test's PostgreSQL"))?;
        let create = sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(&mut connection);
        create.await.map_err(failed("make a schema"))?;
        Ok(Some(Self::Postgres(Box::new(options.options([("search_path", schema)])))))
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

/// What lies beside a file under its name and more.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Where a file lies; a bare name is in the working directory.
pub(super) fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

const REMEDY: &str = "write sqlite:///jupyterhub.sqlite or postgresql://user:password@host:5432/name for example";

fn sqlite(rest: &str, directory: &Path) -> Result<Place, String> {
    let path = rest.strip_prefix('/').unwrap_or_default().split('?').next().unwrap_or_default();
    if path.is_empty() || path == ":memory:" {
        return Err("a database in memory would be lost with the hub; write sqlite:///jupyterhub.sqlite".to_owned());
    }
    Ok(Place::Sqlite(directory.join(path)))
}

fn postgres(rest: &str) -> Result<Place, String> {
    let url = Url::parse(&format!("postgres://{rest}")).map_err(|_| REMEDY.to_owned())?;
    // What libpq and psycopg2 know besides: without effect here, or said otherwise.
    let unknown = url.query_pairs().find(|(key, _)| !KNOWN_PARAMETERS.contains(&key.as_ref()));
    if let Some((key, _)) = unknown {
        return Err(format!(
            "the parameter {key} is not known; remove it, or write one of {}",
            KNOWN_PARAMETERS.join(", ")
        ));
    }
    let options: PgConnectOptions = url.as_str().parse().map_err(|_| REMEDY.to_owned())?;
    Ok(Place::Postgres(Box::new(options.application_name("hub"))))
}

const KNOWN_PARAMETERS: [&str; 8] =
    ["host", "hostaddr", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "options"];

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(options) => {
                let name = options.get_database().unwrap_or("(the user's)");
                match options.get_socket() {
                    Some(directory) => write!(f, "{name} of PostgreSQL in {}", directory.display()),
                    None => write!(f, "{name} of PostgreSQL at {}:{}", options.get_host(), options.get_port()),
                }
            }
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_as_jupyterhub_has_it() {
        for (text, shown) in [
            ("sqlite:///jupyterhub.sqlite", "/srv/jupyterhub.sqlite"),
            ("sqlite:////data/hub.sqlite?timeout=5", "/data/hub.sqlite"),
            ("postgresql://jane:hunter2@db.example.org/hub", "hub of PostgreSQL at db.example.org:5432"),
            ("postgresql+psycopg2://jane:hunter2@db:5433/hub?sslmode=require", "hub of PostgreSQL at db:5433"),
            ("postgres:///hub?host=/run/postgresql", "hub of PostgreSQL in /run/postgresql"),
        ] {
            let place = Place::parse(text, Path::new("/srv")).unwrap();
            assert_eq!(place.to_string(), shown, "{text}");
            assert!(!format!("{place:?}").contains("hunter2"));
        }
    }

    #[test]
    fn what_is_none_comes_with_the_remedy() {
        for (text, remedy) in [
            ("", "write sqlite:///jupyterhub.sqlite"),
            ("jupyterhub.sqlite", "write sqlite:///jupyterhub.sqlite"),
            ("sqlite://", "would be lost"),
            ("sqlite:///:memory:", "would be lost"),
            ("mysql+pymysql://jane:hunter2@db/hub", "PostgreSQL or SQLite"),
            ("postgresql://jane:hunter2@db:port/hub", "write sqlite"),
            ("postgresql://jane:hunter2@db/hub?sslmode=maybe", "write sqlite"),
            ("postgresql://jane:hunter2@db/hub?target_session=hunter2", "remove it"),
        ] {
            let complaint = Place::parse(text, Path::new("/srv")).unwrap_err();
            assert!(complaint.contains(remedy) && !complaint.contains("hunter2"), "{text}: {complaint}");
        }
    }
}
