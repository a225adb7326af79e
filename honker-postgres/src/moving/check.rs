//! What keeps the rows of a file from being moved, found out before anything is changed.

use honker_core::Result;
use honker_core::database::Database;

use super::fit::fit;
use super::page::Place;
use super::tables::TABLES;

/// An error if a row of the source cannot be put into the target; it names the row, and says why.
pub(super) fn rows(source: &Database, target: &Database) -> Result<()> {
    if source.is_remote() {
        return Ok(());
    }
    for table in TABLES {
        let mut place = Place::default();
        loop {
            let page = place.next(&mut &*source, table)?;
            if page.is_empty() {
                break;
            }
            for row in page {
                fit(row, table, source, target)?;
            }
        }
    }
    Ok(())
}
