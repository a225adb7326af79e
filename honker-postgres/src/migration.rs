//! `honker migrate`: the schema is installed or brought up to date, whatever version it says it is of, and who may use it is set.

use std::sync::Arc;

use honker_core::Result;
use tokio_postgres::Client;

use crate::on::get;
use crate::schema::{self, SQL, VERSION};
use crate::session::Session;
use crate::stop::{Call, Stop};
use crate::url::Url;

/// Whose `search_path` gets the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchPath {
    /// That of all who use the database.
    OfDatabase,
    /// That of this role, in the database.
    OfRole(String),
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migration {
    /// Who finds the functions without the schema's name.
    pub search_path: Option<SearchPath>,
    /// Roles, and what they may do: enqueue, work or admin.
    pub grants: Vec<(String, String)>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migrated {
    /// The version that was there; `None`: there was none.
    pub before: Option<i64>,
    /// The version that is there.
    pub after: i64,
}

/// Puts the schema at the end of what the role, or the database, has in its `search_path`.
const SEARCH_PATH: &str = r#"DO $honker$
DECLARE
  the_role CONSTANT text := @ROLE@;
  the_path text := (
    SELECT substr(setting, length('search_path=') + 1) FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) setting
    WHERE starts_with(setting, 'search_path=')
      AND s.setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
      AND s.setrole IN (0, coalesce((SELECT oid FROM pg_catalog.pg_roles WHERE rolname = the_role), 0))
    ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC LIMIT 1);
BEGIN
  the_path := coalesce(the_path, '"$user", public');
  IF the_path ~ '(^|,)\s*"?honker"?\s*(,|$)' THEN
    RETURN;
  END IF;
  EXECUTE CASE WHEN the_role IS NULL THEN format('ALTER DATABASE %I', current_database())
    ELSE format('ALTER ROLE %I IN DATABASE %I', the_role, current_database()) END
    || ' SET search_path = ' || CASE WHEN the_path IN ('', '""') THEN '' ELSE the_path || ', ' END || 'honker';
END $honker$;
"#;

impl Migration {
    /// All of it as SQL, to be run in one transaction.
    pub fn sql(&self) -> String {
        let mut sql = SQL.to_owned();
        for (role, level) in &self.grants {
            sql += &format!("\nSELECT honker.honker_grant({}, {});\n", literal(role), literal(level));
        }
        match &self.search_path {
            None => {}
            Some(SearchPath::OfDatabase) => sql += &SEARCH_PATH.replace("@ROLE@", "NULL"),
            Some(SearchPath::OfRole(role)) => sql += &SEARCH_PATH.replace("@ROLE@", &literal(role)),
        }
        sql
    }

    /// Does it, in one transaction.
    pub fn run(&self, url: &str) -> Result<Migrated> {
        let url = Url::parse(url)?;
        let (stop, nobodys) = (Arc::<Stop>::default(), Arc::default());
        let call = Call::begin(&nobodys, 0, &stop);
        let mut session = Session::connect(&url.endpoint, &url.name, &stop, &call)?;
        let before = schema::look(&mut session, &call)?.map(|(version, _)| version);
        let sql = self.sql();
        session.run(&call, async |client: &Client| client.batch_execute(&sql).await)?;
        let rows = session.run(&call, async |client: &Client| {
            client.query_typed("SELECT max(version)::int8 FROM honker._honker_schema", &[]).await
        })?;
        let after = rows.first().map_or(Ok(VERSION), |row| get(row, 0))?;
        Ok(Migrated { before, after })
    }
}

fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}
