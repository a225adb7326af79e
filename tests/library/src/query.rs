//! SQL of the caller's own.

use std::ptr;

use crate::raw::{self, Bytes, Value};
use crate::{Answer, Database, Owned, Transaction, borrowed, call, functions, owned};

/// The value of a parameter.
#[derive(Debug, Clone, Copy)]
pub enum Parameter<'a> {
    /// An integer.
    Integer(i64),
    /// A text.
    Text(&'a str),
}

/// What stands in a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// NULL, or a type that the programs here do not read.
    Other,
    /// An integer.
    Integer(i64),
    /// A text.
    Text(String),
}

impl Parameter<'_> {
    fn value(&self) -> Value {
        let none = Bytes { data: ptr::null(), len: 0 };
        let (value_type, integer, bytes) = match self {
            Parameter::Integer(integer) => (raw::TYPE_INTEGER, *integer, none),
            Parameter::Text(text) => (raw::TYPE_TEXT, 0, borrowed(text)),
        };
        Value { value_type, reserved: 0, integer, real: 0.0, bytes }
    }
}

fn values(parameters: &[Parameter<'_>]) -> Vec<Value> {
    parameters.iter().map(Parameter::value).collect()
}

// SAFETY, here and below: pointers and lengths are those of Rust texts and slices that outlive the call, outputs are
// places on the stack, and handles are checked by the library.
impl Transaction {
    /// Runs a statement; how many rows it changed.
    pub fn execute(&self, sql: &str, parameters: &[Parameter<'_>]) -> Answer<i64> {
        let values = values(parameters);
        let mut changes = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_tx_execute)(
                self.owned.handle,
                sql.as_ptr(),
                sql.len(),
                values.as_ptr(),
                values.len(),
                &mut changes,
                error,
            )
        })?;
        Ok(changes)
    }

    /// Runs a statement; its rows.
    pub fn query(&self, sql: &str, parameters: &[Parameter<'_>]) -> Answer<Vec<Vec<Cell>>> {
        let values = values(parameters);
        let mut rows = ptr::null_mut();
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_tx_query)(
                self.owned.handle,
                sql.as_ptr(),
                sql.len(),
                values.as_ptr(),
                values.len(),
                &mut rows,
                error,
            )
        })?;
        read(Owned::new(rows, functions().honker_rows_free))
    }
}

impl Database {
    /// Runs a statement that only reads; its rows.
    pub fn query(self, sql: &str, parameters: &[Parameter<'_>]) -> Answer<Vec<Vec<Cell>>> {
        let values = values(parameters);
        let mut rows = ptr::null_mut();
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_query)(
                self.0,
                sql.as_ptr(),
                sql.len(),
                values.as_ptr(),
                values.len(),
                &mut rows,
                error,
            )
        })?;
        read(Owned::new(rows, functions().honker_rows_free))
    }
}

fn read(rows: Owned<raw::Rows>) -> Answer<Vec<Vec<Cell>>> {
    let (mut height, mut width) = (0, 0);
    // SAFETY: see above.
    call(|error| unsafe { (functions().honker_rows_size)(rows.handle, &mut height, &mut width, error) })?;
    let cell = |row, column| {
        let mut value = Parameter::Integer(0).value();
        // SAFETY: see above.
        call(|error| unsafe { (functions().honker_rows_get)(rows.handle, row, column, &mut value, error) })?;
        Ok(match value.value_type {
            raw::TYPE_INTEGER => Cell::Integer(value.integer),
            raw::TYPE_TEXT => Cell::Text(owned(value.bytes).unwrap_or_default()),
            _ => Cell::Other,
        })
    };
    (0..height).map(|row| (0..width).map(|column| cell(row, column)).collect()).collect()
}
