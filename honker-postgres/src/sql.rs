//! Statements of the caller's own.

use honker_core::database::{Rows, Value};
use honker_core::{Error, Result};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::placeholders::{Numbered, are_several, first_words, is_blank, numbered};
use crate::values::{self, Parameter};

/// One statement with its parameters, which travel as texts: the server finds out of what type they are.
pub(crate) struct Statement<'a> {
    sql: String,
    parameters: Vec<Parameter<'a>>,
}

/// What a statement has answered.
pub(crate) struct Answer {
    columns: Vec<String>,
    rows: Vec<Row>,
}

impl<'a> Statement<'a> {
    /// An error if it is none, or one that would end or begin a transaction.
    pub(crate) fn new(sql: &str, parameters: &'a [Value]) -> Result<Self> {
        if sql.contains('\0') {
            return Err(Error::invalid("the SQL statement contains a NUL"));
        }
        let (first, second) = first_words(sql);
        if is_blank(sql) {
            return Err(Error::invalid("there is no SQL statement in the text"));
        }
        if are_several(sql) {
            return Err(Error::invalid("more than one SQL statement in one call"));
        }
        let ends = match (&*first, &*second) {
            ("rollback", "to") => false,
            ("rollback", "transaction" | "work") => !sql.to_ascii_lowercase().contains(" to "),
            ("begin" | "start" | "commit" | "end" | "abort" | "rollback", _) => true,
            ("prepare", "transaction") => true,
            _ => false,
        };
        if ends {
            return Err(Error::Sql(
                format!(
                    "not authorized: {} is not for statements: commit or roll back the transaction",
                    first.to_ascii_uppercase()
                )
                .into(),
            ));
        }
        let lower = || sql.to_ascii_lowercase();
        if first == "copy" && ["stdin", "stdout"].iter().any(|end| lower().contains(end)) {
            return Err(Error::Unsupported("nothing can be copied to or from the client".into()));
        }
        let Numbered { sql, used } = numbered(sql, parameters.len());
        let mut given = values::parameters(parameters)?;
        if let Some(used) = used {
            let wanted = used.last().copied().unwrap_or_default();
            if given.len() != wanted {
                return Err(Error::Sql(
                    format!("the statement has {wanted} parameters, and {} were given", given.len()).into(),
                ));
            }
            given = (1..).zip(given).filter(|(number, _)| used.contains(number)).map(|(_, it)| it).collect();
        }
        Ok(Statement { sql, parameters: given })
    }

    fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.parameters.iter().map(|parameter| (parameter as &(dyn ToSql + Sync), Type::UNKNOWN)).collect()
    }

    /// How many rows it inserted, updated or deleted.
    pub(crate) async fn execute(&self, client: &Client) -> std::result::Result<u64, tokio_postgres::Error> {
        client.execute_typed(&self.sql, &self.parameters()).await
    }

    pub(crate) async fn query(&self, client: &Client) -> std::result::Result<Answer, tokio_postgres::Error> {
        let rows = client.query_typed(&self.sql, &self.parameters()).await?;
        let columns = match rows.first() {
            Some(row) => values::columns(row),
            // Nothing has said what they would have been.
            None => self.describe(client).await.unwrap_or_default(),
        };
        Ok(Answer { columns, rows })
    }

    async fn describe(&self, client: &Client) -> std::result::Result<Vec<String>, tokio_postgres::Error> {
        let types = vec![Type::UNKNOWN; self.parameters.len()];
        let statement = client.prepare_typed(&self.sql, &types).await?;
        Ok(statement.columns().iter().map(|column| column.name().to_owned()).collect())
    }

    pub(crate) fn rows(&self, answer: Answer) -> Result<Rows> {
        values::rows(answer.columns, &answer.rows)
    }
}

/// Whether a statement leaves something on its connection that can be dropped only together with the plans of all others.
pub(crate) fn leaves_for_good(sql: &str) -> bool {
    let (first, _) = first_words(sql);
    first == "prepare"
}

/// Whether a statement that only reads may leave something on its connection: settings, locks, what it listens to.
pub(crate) fn may_leave_traces(sql: &str) -> bool {
    let (first, _) = first_words(sql);
    let lower = sql.to_ascii_lowercase();
    !matches!(&*first, "select" | "with" | "values" | "table" | "" | "explain")
        || ["advisory", "set_config", "setseed"].iter().any(|word| lower.contains(word))
}
