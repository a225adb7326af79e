//! Values of the caller's own SQL: parameters go as texts of a type that the server finds out, columns come as the few types
//! that honker's callers know.

use std::error::Error as StdError;

use bytes::{BufMut, BytesMut};
use honker_core::database::{Rows, Value};
use honker_core::{Error, Result};
use tokio_postgres::Row;
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type};

/// A parameter.
#[derive(Debug)]
pub(crate) struct Parameter<'a>(&'a Value);

/// The parameters; an error if a text cannot be stored.
pub(crate) fn parameters(values: &[Value]) -> Result<Vec<Parameter<'_>>> {
    for (number, value) in (1..).zip(values) {
        if matches!(value, Value::Text(text) if text.contains('\0')) {
            return Err(Error::invalid(format!(
                "parameter {number} contains a NUL, which Postgres cannot store in a text"
            )));
        }
    }
    Ok(values.iter().map(Parameter).collect())
}

impl ToSql for Parameter<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        match self.0 {
            Value::Null => return Ok(IsNull::Yes),
            Value::Integer(value) => out.put_slice(value.to_string().as_bytes()),
            Value::Real(value) if value.is_infinite() => {
                out.put_slice(if *value > 0.0 { b"Infinity" } else { b"-Infinity" });
            }
            Value::Real(value) if value.is_nan() => out.put_slice(b"NaN"),
            Value::Real(value) => out.put_slice(format!("{value:?}").as_bytes()),
            Value::Text(text) => out.put_slice(text.as_bytes()),
            Value::Blob(blob) => {
                out.put_slice(b"\\x");
                blob.iter().for_each(|byte| out.put_slice(format!("{byte:02x}").as_bytes()));
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    fn to_sql_checked(
        &self,
        type_: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn StdError + Sync + Send>> {
        self.to_sql(type_, out)
    }
}

/// The rows that a statement has answered.
pub(crate) fn rows(columns: Vec<String>, rows: &[Row]) -> Result<Rows> {
    let read = |row: &Row| (0..row.len()).map(|column| value(row, column)).collect::<Result<Vec<_>>>();
    Ok(Rows { columns, rows: rows.iter().map(read).collect::<Result<_>>()? })
}

/// The names of the columns, if there is a row.
pub(crate) fn columns(row: &Row) -> Vec<String> {
    row.columns().iter().map(|column| column.name().to_owned()).collect()
}

fn value(row: &Row, column: usize) -> Result<Value> {
    let type_ = row.columns()[column].type_();
    let Raw(Some(bytes)) = row.try_get(column).map_err(|error| crate::failure::of(&error))? else {
        return Ok(Value::Null);
    };
    decode(type_, bytes).ok_or_else(|| {
        let name = row.columns()[column].name();
        Error::Unsupported(
            format!("column '{name}' is of type {type_}: select it as text ({name}::text)").into(),
        )
    })
}

/// The bytes of a column as they came.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Raw(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> std::result::Result<Self, Box<dyn StdError + Sync + Send>> {
        Ok(Raw(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn decode(type_: &Type, bytes: &[u8]) -> Option<Value> {
    let text = |bytes: &[u8]| Some(Value::Text(String::from_utf8(bytes.to_vec()).ok()?));
    Some(match *type_ {
        Type::BOOL => Value::Integer(i64::from(*bytes.first()? != 0)),
        Type::INT2 => Value::Integer(i16::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT4 => Value::Integer(i32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::INT8 => Value::Integer(i64::from_be_bytes(bytes.try_into().ok()?)),
        Type::OID => Value::Integer(u32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::FLOAT4 => Value::Real(f32::from_be_bytes(bytes.try_into().ok()?).into()),
        Type::FLOAT8 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        Type::BYTEA => Value::Blob(bytes.to_vec()),
        Type::JSONB => return text(bytes.get(1..)?),
        Type::NUMERIC => Value::Text(numeric(bytes)?),
        Type::UUID => Value::Text(uuid(bytes)?),
        // A statement without an answer, such as SELECT pg_notify(…).
        Type::VOID => Value::Null,
        Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::JSON
        | Type::XML
        | Type::UNKNOWN
        | Type::CHAR => {
            return text(bytes);
        }
        Type::TIMESTAMP => Value::Text(timestamp(bytes)?),
        Type::TIMESTAMPTZ => Value::Text(timestamp(bytes)? + "+00"),
        Type::DATE => Value::Text(date(i32::from_be_bytes(bytes.try_into().ok()?).into())?),
        _ => match type_.kind() {
            Kind::Enum(_) => return text(bytes),
            Kind::Domain(of) => return decode(of, bytes),
            _ => return None,
        },
    })
}

fn uuid(bytes: &[u8]) -> Option<String> {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(format!(
        "{}-{}-{}-{}-{}",
        hex.get(..8)?,
        hex.get(8..12)?,
        hex.get(12..16)?,
        hex.get(16..20)?,
        hex.get(20..32)?
    ))
}

/// Digits to the base of 10,000, and where among them the point is.
fn numeric(bytes: &[u8]) -> Option<String> {
    let word = |at: usize| Some(i16::from_be_bytes(bytes.get(at * 2..at * 2 + 2)?.try_into().ok()?));
    let (count, weight, sign, scale) = (word(0)?, word(1)?, word(2)? as u16, word(3)?);
    match sign {
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let digit = |place: i32| {
        let index = i32::from(weight) - place;
        if (0..i32::from(count)).contains(&index) { word(4 + index as usize).unwrap_or(0) } else { 0 }
    };
    let mut text = if sign == 0x4000 { "-".to_owned() } else { String::new() };
    let whole: String =
        (0..=i32::from(weight).max(0)).rev().map(|place| format!("{:04}", digit(place))).collect();
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let groups = (scale + 3) / 4;
        let part: String = (1..=i32::from(groups)).map(|place| format!("{:04}", digit(-place))).collect();
        text.push('.');
        text.push_str(part.get(..scale as usize)?);
    }
    Some(text)
}

/// A day, counted from 2000-01-01.
fn date(days: i64) -> Option<String> {
    if days == i64::from(i32::MAX) || days == i64::from(i32::MIN) {
        return Some(if days > 0 { "infinity" } else { "-infinity" }.to_owned());
    }
    // From 0000-03-01 on, in eras of 400 years.
    let days = days + 730_425;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Some(match year {
        1.. => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{:04}-{month:02}-{day:02} BC", 1 - year),
    })
}

/// Microseconds since 2000-01-01.
fn timestamp(bytes: &[u8]) -> Option<String> {
    const DAY: i64 = 86_400_000_000;
    let at = i64::from_be_bytes(bytes.try_into().ok()?);
    if at == i64::MAX || at == i64::MIN {
        return date(if at > 0 { i32::MAX } else { i32::MIN }.into());
    }
    let (day, time) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    let seconds = time / 1_000_000;
    let mut text =
        format!("{} {:02}:{:02}:{:02}", date(day)?, seconds / 3600, seconds / 60 % 60, seconds % 60);
    if time % 1_000_000 > 0 {
        text.push_str(format!(".{:06}", time % 1_000_000).trim_end_matches('0'));
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_written_as_the_server_writes_them() {
        for (days, text) in [
            (0, "2000-01-01"),
            (59, "2000-02-29"),
            (-1, "1999-12-31"),
            (9_832, "2026-12-02"),
            (-730_120, "0001-12-31 BC"),
        ] {
            assert_eq!(date(days).unwrap(), text, "{days}");
        }
        assert_eq!(timestamp(&1_500_000_i64.to_be_bytes()).unwrap(), "2000-01-01 00:00:01.5");
        assert_eq!(timestamp(&(-1_i64).to_be_bytes()).unwrap(), "1999-12-31 23:59:59.999999");
    }

    #[test]
    fn numbers_keep_all_their_digits() {
        let numeric = |words: &[u16]| {
            super::numeric(&words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<_>>()).unwrap()
        };
        assert_eq!(numeric(&[2, 1, 0, 0, 12, 3456]), "123456");
        assert_eq!(numeric(&[2, 0, 0x4000, 2, 1, 2300]), "-1.23");
        assert_eq!(numeric(&[1, 0xffff, 0, 6, 12]), "0.001200");
        assert_eq!(numeric(&[0, 0, 0, 0]), "0");
        assert_eq!(numeric(&[1, 1, 0, 0, 5]), "50000");
    }
}
