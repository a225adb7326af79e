//! Values and SQL: what goes into a statement of the user's and what comes out of it.

use honker_core::Error;
use honker_core::database::{Database, Options, Transaction, Value};
use rusqlite::ffi;

use crate::support::{File, code, single};

fn open() -> (File, Database) {
    let file = File::new();
    let database = file.database(&Options::default());
    (file, database)
}

fn values() -> Vec<Value> {
    vec![
        Value::Null,
        Value::Integer(0),
        Value::Integer(i64::MIN),
        Value::Integer(i64::MAX),
        Value::Real(0.1),
        Value::Real(-0.0),
        Value::Real(f64::MAX),
        Value::Real(f64::MIN_POSITIVE),
        Value::Real(f64::INFINITY),
        Value::Real(f64::NEG_INFINITY),
        // A real that is whole stays a real.
        Value::Real(3.0),
        "".into(),
        "größe 漢字 🦀".into(),
        "a\0b\0".into(),
        "\0".into(),
        "1".into(),
        Value::Text("x".repeat(1_000_000)),
        Value::Blob(vec![]),
        Value::Blob(vec![0, 255, 0]),
        Value::Blob(vec![7; 1_000_000]),
    ]
}

#[test]
fn values_come_back_as_they_were() {
    let (_file, database) = open();
    let mut transaction = database.begin().unwrap();
    transaction.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, x)", &[]).unwrap();
    for (id, value) in (0..).zip(values()) {
        let parameters = [Value::Integer(id), value.clone()];
        assert_eq!(transaction.execute("INSERT INTO t VALUES (?, ?)", &parameters), Ok(1));
        let sql = "SELECT x FROM t WHERE id = ?";
        assert_eq!(single(transaction.query(sql, &[id.into()]).unwrap()), value);
    }
    transaction.commit().unwrap();
    let read = database.query("SELECT x FROM t ORDER BY id", &[]).unwrap();
    assert_eq!(read.rows.into_iter().map(|mut row| row.remove(0)).collect::<Vec<_>>(), values());
    for value in values() {
        assert_eq!(single(database.query("SELECT ?", std::slice::from_ref(&value)).unwrap()), value);
    }
}

#[test]
fn not_a_number_is_null_as_in_sqlite() {
    let (_file, database) = open();
    let read = database.query("SELECT ?", &[Value::Real(f64::NAN)]).unwrap();
    assert_eq!(single(read), Value::Null);
}

#[test]
fn integers_compare_as_numbers() {
    let (_file, database) = open();
    let sql = "SELECT ? < ?";
    assert_eq!(single(database.query(sql, &[9.into(), 10.into()]).unwrap()), Value::Integer(1));
    assert_eq!(single(database.query(sql, &["9".into(), "10".into()]).unwrap()), Value::Integer(0));
}

#[test]
fn rows_have_names_and_an_order() {
    let (_file, database) = open();
    let sql = "SELECT 1 AS a, 'x' AS \"b c\", NULL AS a UNION ALL SELECT 2, 'y', x'00'";
    let rows = database.query(sql, &[]).unwrap();
    assert_eq!(rows.columns, ["a", "b c", "a"]);
    assert_eq!(rows.rows.len(), 2);
    assert_eq!(rows.rows[1], [Value::Integer(2), "y".into(), Value::Blob(vec![0])]);
    let none = database.query("SELECT 1 AS a WHERE 0", &[]).unwrap();
    assert_eq!((none.columns.len(), none.rows.len()), (1, 0));
}

/// The statement is kept prepared, and the table changes underneath.
#[test]
fn a_query_follows_a_change_of_its_table() {
    let (file, database) = open();
    let other = file.plain();
    other.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (1)").unwrap();
    let read = || database.query("SELECT * FROM t", &[]).unwrap();
    assert_eq!(read().columns, ["a"]);
    other.execute_batch("ALTER TABLE t ADD COLUMN b DEFAULT 2").unwrap();
    let rows = read();
    assert_eq!((rows.columns.len(), rows.rows[0].len()), (2, 2), "{rows:?}");
    assert_eq!(rows.columns, ["a", "b"]);
    other.execute_batch("ALTER TABLE t DROP COLUMN a").unwrap();
    let rows = read();
    assert_eq!(rows.columns, ["b"]);
    assert_eq!(rows.rows, [[Value::Integer(2)]]);
}

/// Each of these on both connections.
fn on_both(
    test: impl Fn(&mut dyn FnMut(&str, &[Value]) -> honker_core::Result<honker_core::database::Rows>),
) {
    let (_file, database) = open();
    test(&mut |sql, parameters| database.query(sql, parameters));
    let mut transaction: Transaction = database.begin().unwrap();
    test(&mut |sql, parameters| transaction.query(sql, parameters));
    test(&mut |sql, parameters| transaction.execute(sql, parameters).map(|_| Default::default()));
}

#[test]
fn the_number_of_parameters_has_to_be_right() {
    on_both(|query| {
        for parameters in [&[][..], &[1.into()], &[1.into(), 2.into(), 3.into()]] {
            let error = query("SELECT ?, ?", parameters).unwrap_err();
            assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        }
        query("SELECT ?, ?", &[1.into(), 2.into()]).unwrap();
    });
}

#[test]
fn several_statements_in_one_call_are_refused() {
    on_both(|query| {
        for sql in ["SELECT 1; SELECT 2", "SELECT 1;;SELECT 2", "SELECT 1; COMMIT"] {
            let error = query(sql, &[]).unwrap_err();
            assert!(matches!(error, Error::Invalid(_)), "{sql}: {error:?}");
        }
        for sql in ["SELECT 1;", "SELECT 1; -- the end", "SELECT 1 /* ; */ ; /* ; */ "] {
            query(sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
    });
}

#[test]
fn what_is_not_sql_is_an_error() {
    on_both(|query| {
        assert_eq!(code(query("SELEC 1", &[])), ffi::SQLITE_ERROR);
        assert_eq!(code(query("SELECT * FROM missing", &[])), ffi::SQLITE_ERROR);
    });
}

/// SQLite would read as far as the NUL and not tell.
#[test]
fn sql_with_a_nul_is_refused() {
    on_both(|query| assert!(query("SELECT 1\0; DROP TABLE _honker_live", &[]).is_err()));
}

#[test]
fn the_number_of_changed_rows_is_the_statement_s() {
    let (_file, database) = open();
    let mut transaction = database.begin().unwrap();
    assert_eq!(transaction.execute("CREATE TABLE t(x)", &[]), Ok(0));
    assert_eq!(transaction.execute("INSERT INTO t VALUES (1), (2), (3)", &[]), Ok(3));
    assert_eq!(transaction.execute("UPDATE t SET x = 0 WHERE x > 1", &[]), Ok(2));
    assert_eq!(transaction.execute("UPDATE t SET x = 0 WHERE x > 9", &[]), Ok(0));
    assert_eq!(transaction.execute("SELECT * FROM t", &[]), Ok(0));
    assert_eq!(transaction.execute("INSERT INTO t VALUES (4) RETURNING x", &[]), Ok(1));
    assert_eq!(transaction.execute("CREATE TABLE u(x)", &[]), Ok(0));
    assert_eq!(transaction.execute("DELETE FROM t", &[]), Ok(4));
}
