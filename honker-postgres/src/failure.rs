//! What a server, or the way to it, answers with, as one of honker's errors.
//!
//! SQLSTATEs of class `HK` are those of our own SQL functions (sql/begin.sql); all others are Postgres'.

use std::error::Error as _;

use honker_core::Error;
use tokio_postgres::error::{DbError, Severity};

/// The error of a call on a connection that was open.
pub(crate) fn of(error: &tokio_postgres::Error) -> Error {
    if let Some(error) = error.as_db_error() {
        return of_server(error);
    }
    let text = text(error);
    if text.starts_with("error serializing parameter") {
        return Error::Invalid(text);
    }
    // What is larger than the protocol can say: more than 65,535 parameters, or a text of more than 2 GB.
    if text.starts_with("error encoding message") || text.ends_with("too large to transmit") {
        return Error::TooBig(format!("the statement cannot be sent: {text}").into());
    }
    if text.starts_with("error deserializing column") || text.starts_with("unexpected message") {
        return Error::Internal(text.into());
    }
    Error::Connection(format!("the connection to the server is lost: {text}").into())
}

/// The error of an attempt to connect.
pub(crate) fn of_connecting(name: &str, error: &tokio_postgres::Error) -> Error {
    let to = |text: String| format!("cannot connect to {name}: {text}");
    match error.as_db_error() {
        // A password that is wrong, a database that is not there: trying again does not help.
        Some(error) if matches!(class(error), "28" | "3D" | "42" | "22") => {
            Error::CannotOpen(to(error.message().to_owned()).into())
        }
        // It takes no more of them.
        Some(error) if error.code().code() == "53300" => Error::Busy(to(error.message().to_owned()).into()),
        Some(error) => Error::Connection(to(error.message().to_owned()).into()),
        None => {
            let text = text(error);
            let is_final = [
                "authentication error",
                "error performing TLS handshake",
                "invalid configuration",
                "password missing",
            ];
            match is_final.iter().any(|start| text.starts_with(start)) {
                true => Error::CannotOpen(to(text).into()),
                false => Error::Connection(to(text).into()),
            }
        }
    }
}

/// Whether the server, or the pooler before it, has closed the connection, or is about to.
pub(crate) fn is_lost(error: &Error) -> bool {
    matches!(error, Error::Connection(_))
}

fn text(error: &tokio_postgres::Error) -> String {
    match error.source() {
        Some(source) => {
            let (text, cause) = (error.to_string(), source.to_string());
            if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
        }
        None => error.to_string(),
    }
}

fn class(error: &DbError) -> &str {
    error.code().code().get(..2).unwrap_or_default()
}

fn of_server(error: &DbError) -> Error {
    let mut message = error.message().to_owned();
    let code = error.code().code();
    if !code.starts_with("HK")
        && let Some(detail) = error.detail()
    {
        message = format!("{message} ({detail})");
    }
    // Said of a connection that goes on, it is about the statement's parameters; a pooler that ends one says FATAL.
    if code == "08P01" && error.parsed_severity() == Some(Severity::Error) {
        return Error::Sql(message.into());
    }
    of_state(code, message)
}

/// From an SQLSTATE and what was said with it.
pub(crate) fn of_state(code: &str, message: String) -> Error {
    let cause = message.clone().into();
    if honker_core::is_of_move(&message) {
        return Error::Moved(cause);
    }
    match code {
        "HK001" => Error::Invalid(message),
        "HK002" => Error::Misuse(message),
        "HK003" => Error::TooOld(message),
        "HK004" => Error::TooBig(cause),
        "40001" | "40P01" | "55P03" => Error::Busy(cause),
        "57014" => Error::Interrupted(cause),
        "25006" => Error::ReadOnly(cause),
        "25P02" => Error::Aborted(
            "the transaction has failed, and nothing but a rollback is left: a statement of yours was refused".into(),
        ),
        // 2200H: a sequence has no numbers left.
        "53100" | "2200H" => Error::Full(cause),
        "P0001" | "44000" | "27000" => Error::Constraint(cause),
        "XX001" | "XX002" => Error::Corrupt(cause),
        "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => Error::Connection(cause),
        // Of a statement of the caller's: it has more placeholders than parameters, or fewer.
        "08P01" if message.contains("bind message") => Error::Sql(cause),
        // Not a mistake in the SQL: it says how large things may be.
        "22001" => Error::TooBig(cause),
        "22021" => Error::Invalid(format!("a text contains what Postgres cannot store in one, such as a NUL: {message}")),
        code => match code.get(..2).unwrap_or_default() {
            "23" => Error::Constraint(cause),
            "08" => Error::Connection(cause),
            "28" | "3D" => Error::CannotOpen(cause),
            "53" => Error::System(cause),
            "54" => Error::TooBig(cause),
            "0A" => Error::Unsupported(cause),
            "58" => Error::Io(cause),
            "22" | "42" | "3F" | "2B" | "25" | "2D" | "21" | "26" | "34" | "20" | "3B" | "P0" => Error::Sql(cause),
            _ => Error::Internal(format!("{message} (SQLSTATE {code})").into()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_a_kind_of_error() {
        let kind = |code: &str| of_state(code, "m".to_owned());
        assert!(matches!(kind("HK001"), Error::Invalid(_)));
        assert!(matches!(kind("23505"), Error::Constraint(_)));
        assert!(matches!(kind("P0001"), Error::Constraint(_)));
        assert!(matches!(kind("40P01"), Error::Busy(_)));
        assert!(matches!(kind("55P03"), Error::Busy(_)));
        assert!(matches!(kind("57014"), Error::Interrupted(_)));
        assert!(matches!(kind("57P01"), Error::Connection(_)));
        assert!(matches!(kind("08006"), Error::Connection(_)));
        assert!(matches!(kind("08P01"), Error::Connection(_)));
        let bind = of_state("08P01", "bind message supplies 1 parameters, but …".to_owned());
        assert!(matches!(bind, Error::Sql(_)));
        assert!(matches!(kind("42P01"), Error::Sql(_)));
        assert!(matches!(kind("53300"), Error::System(_)));
        assert!(matches!(kind("53100"), Error::Full(_)));
        assert!(matches!(kind("2200H"), Error::Full(_)));
        assert!(matches!(kind("ZZ999"), Error::Internal(_)));
    }
}
