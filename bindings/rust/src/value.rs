//! Parameters and rows of the application's own SQL.

use std::sync::Arc;

use honker_core::database as engine;

use crate::{Error, Result};

/// A parameter of a statement, or a column of a row.
///
/// ```
/// use honker::Value;
/// assert_eq!(Value::from(42), Value::Integer(42));
/// assert_eq!(Value::from(None::<i64>), Value::Null);
/// assert_eq!(Value::from("alice"), Value::Text("alice".to_owned()));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A 64-bit integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

macro_rules! from {
    ($($type:ty => $value:ident: $made:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Self {
                $made
            }
        })*
    };
}

from! {
    i64 => value: Value::Integer(value);
    i32 => value: Value::Integer(value.into());
    i16 => value: Value::Integer(value.into());
    i8 => value: Value::Integer(value.into());
    u32 => value: Value::Integer(value.into());
    u16 => value: Value::Integer(value.into());
    u8 => value: Value::Integer(value.into());
    bool => value: Value::Integer(value.into());
    f64 => value: Value::Real(value);
    f32 => value: Value::Real(value.into());
    String => value: Value::Text(value);
    &str => value: Value::Text(value.to_owned());
    &String => value: Value::Text(value.clone());
    Vec<u8> => value: Value::Blob(value);
    &[u8] => value: Value::Blob(value.to_vec());
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl Value {
    fn into_engine(self) -> engine::Value {
        match self {
            Value::Null => engine::Value::Null,
            Value::Integer(value) => engine::Value::Integer(value),
            Value::Real(value) => engine::Value::Real(value),
            Value::Text(value) => engine::Value::Text(value),
            Value::Blob(value) => engine::Value::Blob(value),
        }
    }

    fn from_engine(value: engine::Value) -> Self {
        match value {
            engine::Value::Null => Value::Null,
            engine::Value::Integer(value) => Value::Integer(value),
            engine::Value::Real(value) => Value::Real(value),
            engine::Value::Text(value) => Value::Text(value),
            engine::Value::Blob(value) => Value::Blob(value),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Value::Null => "NULL",
            Value::Integer(_) => "an integer",
            Value::Real(_) => "a real",
            Value::Text(_) => "a text",
            Value::Blob(_) => "a blob",
        }
    }
}

/// The parameters of a statement, from values of any type that [`Value`] is made from.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let tx = db.transaction()?;
/// tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER, customer TEXT)", [])?;
/// tx.execute("INSERT INTO orders VALUES (?, ?, ?)", honker::params![42, 99, "alice"])?;
/// tx.commit()?;
/// # Ok::<(), honker::Error>(())
/// ```
#[macro_export]
macro_rules! params {
    () => { [] as [$crate::Value; 0] };
    ($($value:expr),+ $(,)?) => { [$($crate::Value::from($value)),+] };
}

pub(crate) fn parameters(params: impl IntoIterator<Item = Value>) -> Vec<engine::Value> {
    params.into_iter().map(Value::into_engine).collect()
}

/// A row of a query.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let row = db.query_row("SELECT 1 AS one, 'two' AS two, NULL AS three", [])?.expect("a row");
/// assert_eq!(row.get::<i64>("one")?, 1);
/// assert_eq!(row.get::<String>(1)?, "two");
/// assert_eq!(row.get::<Option<i64>>("three")?, None);
/// # Ok::<(), honker::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    columns: Arc<[String]>,
    values: Vec<Value>,
}

impl Row {
    pub(crate) fn all(rows: engine::Rows) -> Vec<Row> {
        let columns: Arc<[String]> = rows.columns.into();
        let row = |values: Vec<engine::Value>| Row {
            columns: Arc::clone(&columns),
            values: values.into_iter().map(Value::from_engine).collect(),
        };
        rows.rows.into_iter().map(row).collect()
    }

    /// A column, by its place or its name. [`Error::Invalid`] if there is none, or if it is of another type.
    pub fn get<T: FromValue>(&self, column: impl Column) -> Result<T> {
        let place = column.place(&self.columns)?;
        let value =
            self.values.get(place).ok_or_else(|| Error::invalid(format!("there is no column {place}")))?;
        T::from_value(value).ok_or_else(|| {
            let name = self.columns.get(place).map_or("", String::as_str);
            Error::invalid(format!(
                "column {place} ('{name}') is {}, which is no {}",
                value.kind(),
                std::any::type_name::<T>()
            ))
        })
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// All values, in the order of the columns.
    pub fn values(&self) -> &[Value] {
        &self.values
    }
}

/// The place of a column, or its name: what [`Row::get`] takes.
///
/// ```
/// # let db = honker::testing::TestDatabase::new()?;
/// let row = db.query_row("SELECT 7 AS seven", [])?.expect("a row");
/// assert_eq!(row.get::<i64>(0)?, row.get::<i64>("seven")?);
/// # Ok::<(), honker::Error>(())
/// ```
pub trait Column {
    /// Its place among the names of the columns.
    fn place(&self, columns: &[String]) -> Result<usize>;
}

impl Column for usize {
    fn place(&self, _: &[String]) -> Result<usize> {
        Ok(*self)
    }
}

impl Column for &str {
    fn place(&self, columns: &[String]) -> Result<usize> {
        let found = columns.iter().position(|name| name == self);
        found
            .ok_or_else(|| Error::invalid(format!("there is no column '{self}', but {}", columns.join(", "))))
    }
}

/// A type that a column can be read as.
///
/// ```
/// use honker::{FromValue, Value};
/// assert_eq!(i64::from_value(&Value::Integer(1)), Some(1));
/// assert_eq!(i64::from_value(&Value::Text("1".to_owned())), None);
/// ```
pub trait FromValue: Sized {
    /// The value as this type; `None` if it is none.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty: $pattern:pat => $value:expr;)*) => {
        $(impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $pattern => $value,
                    _ => None,
                }
            }
        })*
    };
}

from_value! {
    i64: Value::Integer(value) => Some(*value);
    i32: Value::Integer(value) => (*value).try_into().ok();
    u32: Value::Integer(value) => (*value).try_into().ok();
    u64: Value::Integer(value) => (*value).try_into().ok();
    usize: Value::Integer(value) => (*value).try_into().ok();
    bool: Value::Integer(value @ 0..=1) => Some(*value == 1);
    String: Value::Text(value) => Some(value.clone());
    Vec<u8>: Value::Blob(value) => Some(value.clone());
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl FromValue for f64 {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Real(value) => Some(*value),
            Value::Integer(value) => Some(*value as f64),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}
