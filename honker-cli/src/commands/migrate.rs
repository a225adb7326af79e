//! `honker migrate`: the schema of a database, installed or brought up to date.

use std::io::Write;

use clap::Args;
use honker_core::database::Database;
use honker_postgres::{Migration, SearchPath};

use crate::failure::{Failure, Result};
use crate::file::{self, Create, Db, File};
use crate::read;
use crate::show::Screen;

/// Install honker's schema in a Postgres database, or bring it up to date
///
/// It may be run as often as you like, and while programs work. On a file it does what every program does that opens it: the tables are
/// brought up to date. --print prints the SQL for Postgres, to be run in one transaction by migrations of your own; programs of
/// honker's are content with whatever has installed it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker migrate postgres://admin@db.example/app
  honker migrate postgres://admin@db.example/app --search-path
  honker migrate postgres://admin@db.example/app --search-path --role web --grant web=enqueue --grant worker=work
  honker migrate --print > migrations/0042_honker.sql
  honker migrate app.db")]
pub struct Migrate {
    #[command(flatten)]
    file: File,
    /// Let SQL find the functions without `honker.`: put the schema at the end of the database's search_path, or of the role's
    #[arg(long)]
    search_path: bool,
    /// Whose search_path; that of all, otherwise
    #[arg(long, value_name = "ROLE", requires = "search_path")]
    role: Option<String>,
    /// What a role may do: enqueue; work (and all of that); admin (and all of that)
    #[arg(long, value_name = "ROLE=LEVEL", value_parser = grant)]
    grant: Vec<(String, String)>,
    /// Print the SQL, and touch nothing
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    create: Create,
}

fn grant(text: &str) -> std::result::Result<(String, String), String> {
    match text.rsplit_once('=') {
        Some((role, level @ ("enqueue" | "work" | "admin"))) if !role.is_empty() => {
            Ok((role.to_owned(), level.to_owned()))
        }
        _ => Err("it is ROLE=LEVEL, and the level enqueue, work or admin".to_owned()),
    }
}

impl Migrate {
    pub fn run(self, db: &Db) -> Result {
        let search_path = match (self.search_path, &self.role) {
            (false, _) => None,
            (true, None) => Some(SearchPath::OfDatabase),
            (true, Some(role)) => Some(SearchPath::OfRole(role.clone())),
        };
        let migration = Migration { search_path, grants: self.grant.clone() };
        if self.print {
            let mut screen = Screen::new();
            writeln!(screen, "{}", migration.sql())?;
            return Ok(screen.flush()?);
        }
        let path = db.path_or(&self.file)?;
        let said = match path.to_str().filter(|text| honker_postgres::is_url(text)) {
            Some(url) => {
                let done = migration.run(url)?;
                let name = honker_postgres::name(url)?;
                match done.before {
                    None => format!("{name}: schema honker installed, version {}", done.after),
                    Some(before) if before == done.after => {
                        format!(
                            "{name}: schema honker is of version {before}, and its functions are up to date"
                        )
                    }
                    Some(before) => {
                        format!("{name}: schema honker brought from version {before} to {}", done.after)
                    }
                }
            }
            None if self.search_path || !self.grant.is_empty() => {
                return Err(Failure::Usage("a file has no roles and no search_path".to_owned()));
            }
            None => {
                let before = if path.exists() {
                    file::look(&path).ok().map(|file| version(&file)).transpose()?
                } else {
                    None
                };
                let database = db.open_to_write(&self.file, &self.create)?;
                let after = version(&database)?;
                match before {
                    Some(before) if before == after => {
                        format!("{}: up to date, version {after}", database.path())
                    }
                    _ => format!("{}: brought up to date, version {after}", database.path()),
                }
            }
        };
        let mut screen = Screen::new();
        writeln!(screen, "{said}")?;
        Ok(screen.flush()?)
    }
}

fn version(database: &Database) -> Result<i64> {
    let rows = read::query(database, "SELECT max(version) FROM main._honker_schema", &[])?.rows;
    Ok(rows.first().and_then(|row| read::integer(&row[0])).unwrap_or(0))
}
