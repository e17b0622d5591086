//! What users, services and their tokens may do at this moment: their roles, their groups and what is shared with them.

use super::sql::{self, QueryBuilder, Row};
use super::{ApiToken, Database, FromRow, Key, OAuthClient, Result, TokenOwner, User, column, failed, one};
use hub_auth::{
    names,
    scopes::{self, Entity, Groups, Owner, Scopes, Target, share},
};
use jiff::Timestamp;

/// A service: a program with rights of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub id: i64,
    pub name: String,
    pub admin: bool,
}

impl FromRow for Service {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            admin: row.try_get::<Option<bool>>("admin")?.unwrap_or_default(),
        })
    }
}

/// Who owns a token.
#[derive(Clone, Debug, PartialEq)]
pub enum Principal {
    User(User),
    Service(Service),
}

impl Principal {
    pub fn name(&self) -> &str {
        match self {
            Self::User(user) => &user.name,
            Self::Service(service) => &service.name,
        }
    }

    /// The same for the rules of scopes.
    pub fn owner(&self) -> Owner<'_> {
        match self {
            Self::User(user) => Owner::User(&user.name),
            Self::Service(service) => Owner::Service(&service.name),
        }
    }
}

const ROLES_OF_USER: &str = "SELECT r.scopes FROM roles r JOIN user_role_map m ON m.role_id = r.id WHERE m.user_id = $1
    UNION ALL
    SELECT r.scopes FROM roles r JOIN group_role_map m ON m.role_id = r.id
        JOIN user_group_map g ON g.group_id = m.group_id WHERE g.user_id = $1";
pub(super) const ROLES_OF_GROUP: &str =
    "SELECT r.scopes FROM roles r JOIN group_role_map m ON m.role_id = r.id WHERE m.group_id = $1";
const ROLES_OF_SERVICE: &str =
    "SELECT r.scopes FROM roles r JOIN service_role_map m ON m.role_id = r.id WHERE m.service_id = $1";
const SHARED_WITH_USER: &str =
    "SELECT h.scopes, h.expires_at, u.name AS owner, coalesce(s.name, '') AS server FROM shares h
    JOIN spawners s ON s.id = h.spawner_id JOIN users u ON u.id = s.user_id
    WHERE (h.user_id = $1 OR h.group_id IN (SELECT group_id FROM user_group_map WHERE user_id = $1))
        AND (h.expires_at IS NULL OR h.expires_at > $2)";

impl Database {
    /// Everything that a user may do: by roles, by the roles of groups, and by what is shared with them.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn user_scopes(&self, user: &User) -> Result<Scopes> {
        let owner = Owner::User(&user.name);
        let read = async {
            let held = self.definitions().expand(&self.role_scopes(ROLES_OF_USER, user.id).await?, Some(owner), None);
            let (shared, lasts) = self.shared_scopes(user, owner).await.map_err(failed("read shares"))?;
            Ok((held.union(&shared), lasts))
        };
        // What ends by itself ends without a commit.
        let about = |(_, lasts): &(Scopes, bool)| lasts.then(Vec::new);
        Ok(self.memo.remember(Key::UserScopes(user.id), about, read).await?.0)
    }

    /// Everything that a service may do.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn service_scopes(&self, service: &Service) -> Result<Scopes> {
        let raw = self.role_scopes(ROLES_OF_SERVICE, service.id).await?;
        Ok(self.definitions().expand(&raw, Some(Owner::Service(&service.name)), None))
    }

    pub(super) async fn role_scopes(&self, query: &'static str, id: i64) -> Result<Vec<String>> {
        const ACTION: &str = "read roles";
        let rows = sql::query(query).bind(id).fetch_all(&self.pool).await.map_err(failed(ACTION))?;
        let lists = rows.iter().map(|row| column::get_list(row, "scopes")).collect::<sqlx::Result<Vec<_>>>();
        Ok(lists.map_err(failed(ACTION))?.concat())
    }

    /// What is shared with a user, and whether all of it is so until somebody ends it.
    async fn shared_scopes(&self, user: &User, owner: Owner<'_>) -> sqlx::Result<(Scopes, bool)> {
        let (mut shared, mut lasts) = (Scopes::default(), true);
        let query = sql::query(SHARED_WITH_USER).bind(user.id).bind(Timestamp::now());
        for row in query.fetch_all(&self.pool).await? {
            let (of, server): (String, String) = (row.try_get("owner")?, row.try_get("server")?);
            let raw = share::rebind(&column::get_list(&row, "scopes")?, &of, &server);
            shared = shared.union(&self.definitions().expand(&raw, Some(owner), None));
            lasts &= row.try_get::<Option<Timestamp>>("expires_at")?.is_none();
        }
        Ok((shared, lasts))
    }

    /// Who is in the groups that these scopes are filtered by: what a check with them needs. Most have none, which costs
    /// no query.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn memberships(&self, scopes: &Scopes) -> Result<Groups> {
        const ACTION: &str = "read the members of groups";
        let named = scopes.filtered_by(Entity::Group);
        if named.is_empty() {
            return Ok(Groups::default());
        }
        let mut query = QueryBuilder::new(
            "SELECT u.name, g.name FROM users u JOIN user_group_map m ON m.user_id = u.id
             JOIN groups g ON g.id = m.group_id WHERE g.name IN (",
        );
        let rows = query.push_list(named).push(")").build().fetch_all(&self.pool).await.map_err(failed(ACTION))?;
        let pairs = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<sqlx::Result<Vec<_>>>();
        Ok(Groups::new(pairs.map_err(failed(ACTION))?))
    }

    /// The service with this id.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn service(&self, id: i64) -> Result<Option<Service>> {
        let query = sql::query("SELECT id, name, admin FROM services WHERE id = $1");
        query.bind(id).fetch_optional(&self.pool).await.and_then(one).map_err(failed("find a service"))
    }

    /// Whose token this is, and what it may do now: what it was made for, as far as its owner still may. `None` if the
    /// owner, or the client that it was made for, is gone.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub async fn token_scopes(&self, token: &ApiToken) -> Result<Option<(Principal, Scopes)>> {
        let Some((principal, held)) = self.owner_with_scopes(token.owner).await? else { return Ok(None) };
        let client = match token.is_oauth() {
            true => self.oauth_client(&token.client_id).await?,
            false => None,
        };
        if token.is_oauth() && client.is_none() {
            return Ok(None);
        }
        let target = client.as_ref().and_then(OAuthClient::scope_target);
        // Only where both sides have filters does it matter who is in a group.
        let groups = self.memberships(&held.clone().union(&Scopes::parse(&token.scopes))).await?;
        let granted = self.definitions().of_token(&token.scopes, principal.owner(), &held, target, &groups);
        Ok(Some((principal, granted)))
    }

    async fn owner_with_scopes(&self, owner: TokenOwner) -> Result<Option<(Principal, Scopes)>> {
        match owner {
            TokenOwner::User(id) => {
                let Some(user) = self.user(id).await? else { return Ok(None) };
                let held = self.user_scopes(&user).await?;
                Ok(Some((Principal::User(user), held)))
            }
            TokenOwner::Service(id) => {
                let Some(service) = self.service(id).await? else { return Ok(None) };
                let held = self.service_scopes(&service).await?;
                Ok(Some((Principal::Service(service), held)))
            }
        }
    }
}

impl OAuthClient {
    /// What `!server` and `!service` mean in this client's tokens.
    pub fn scope_target(&self) -> Option<Target<'_>> {
        use super::ClientTarget;
        match self.target.as_ref()? {
            ClientTarget::Server { user, server, .. } => Some(Target::Server { user, server }),
            ClientTarget::Service(name) => Some(Target::Service(name)),
        }
    }

    /// The scope that lets someone use what this client stands for.
    pub fn access_scope(&self) -> Option<String> {
        self.scope_target().map(scopes::access)
    }

    /// Whether this is the client of a server of this user: then no page asks for consent.
    pub fn is_server_of(&self, user: &User) -> bool {
        matches!(&self.target, Some(super::ClientTarget::Server { user_id, .. }) if *user_id == user.id)
    }

    /// What the page that asks for consent calls it.
    pub fn target_name(&self) -> String {
        match &self.target {
            Some(super::ClientTarget::Server { user, server, .. }) => names::full_server_name(user, server),
            Some(super::ClientTarget::Service(name)) => name.clone(),
            None => self.identifier.clone(),
        }
    }
}
