//! A table in columns of text.

use std::io::Write;

use crate::failure::Result;
use crate::show::Screen;
use crate::text;

/// Where the text of a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells. The last column is cut to the width of the terminal.
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row. Cells may hold anything: they are shown on one line.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.iter().map(|cell| text::one_line(cell)).collect());
    }

    /// Writes it; `nothing` if there are no rows.
    pub fn draw(&self, screen: &mut Screen, nothing: &str) -> Result {
        if self.rows.is_empty() {
            writeln!(screen, "{nothing}")?;
            return Ok(());
        }
        let widths: Vec<usize> = (0..self.columns.len()).map(|at| self.width(at)).collect();
        let header: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        let header = self.line(&header, &widths, screen.columns());
        let header = screen.bold(&header);
        writeln!(screen, "{header}")?;
        for row in &self.rows {
            let line = self.line(row, &widths, screen.columns());
            writeln!(screen, "{line}")?;
        }
        Ok(())
    }

    fn width(&self, at: usize) -> usize {
        let cells = self.rows.iter().map(|row| text::width(&row[at]));
        cells.chain([text::width(self.columns[at].0)]).max().unwrap_or(0)
    }

    fn line(&self, cells: &[String], widths: &[usize], columns: Option<usize>) -> String {
        let mut line = String::new();
        let last = cells.len() - 1;
        for (at, cell) in cells.iter().enumerate() {
            let padding = " ".repeat(widths[at].saturating_sub(text::width(cell)));
            match self.columns[at].1 {
                Align::Right => line += &format!("{padding}{cell}"),
                Align::Left if at == last => {
                    let left = columns.map(|columns| columns.saturating_sub(text::width(&line)).max(8));
                    line += &left.map_or_else(|| cell.clone(), |left| text::cut(cell, left));
                }
                Align::Left => line += &format!("{cell}{padding}"),
            }
            if at != last {
                line += "  ";
            }
        }
        line
    }
}

/// A number as a cell.
pub fn number(value: i64) -> String {
    value.to_string()
}

/// A cell that may be empty.
pub fn optional<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), show)
}
