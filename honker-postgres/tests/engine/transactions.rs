//! Transactions of the caller's.

use honker_core::Error;
use honker_core::database::Value;
use honker_core::queue::Enqueue;
use honker_postgres::connect;

use crate::support::{Server, claim, count, enqueue, value};

fn with_table(server: &Server) {
    server
        .client()
        .batch_execute("CREATE TABLE orders (id bigint PRIMARY KEY, what text, price numeric(9,2))")
        .unwrap();
}

#[test]
fn a_job_and_a_row_are_committed_together_or_not_at_all() {
    let Some(server) = Server::new() else { return };
    with_table(&server);
    let database = server.open();
    for commits in [false, true] {
        let mut transaction = database.begin().unwrap();
        let changed = transaction
            .execute("INSERT INTO orders VALUES (?, ?2, ?)", &[1.into(), "tea".into(), "2.50".into()])
            .unwrap();
        assert_eq!(changed, 1);
        transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
        let seen = transaction.query("SELECT what, price FROM orders WHERE id = ?", &[1.into()]).unwrap();
        assert_eq!(seen.columns, ["what", "price"]);
        assert_eq!(seen.rows, [[Value::from("tea"), Value::from("2.50")]]);
        assert_eq!(count(&database, "orders"), 0);
        if commits {
            transaction.commit().unwrap()
        } else {
            transaction.rollback().unwrap()
        }
        assert_eq!(count(&database, "orders"), i64::from(commits));
        assert_eq!(count(&database, "honker._honker_live"), i64::from(commits));
    }
    drop(database.begin().map(|mut transaction| transaction.enqueue(&Enqueue::new("q", "p"))));
    assert_eq!(count(&database, "honker._honker_live"), 1);
}

#[test]
fn a_call_that_is_refused_leaves_the_transaction_usable() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut transaction = database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("q", "first")).unwrap();
    let refused = transaction.queue_configure("q", "{\"nothing\":1}");
    assert!(matches!(refused, Err(Error::Invalid(_))), "{refused:?}");
    let refused = transaction.batch_seal(12345);
    assert!(refused.is_err());
    transaction.enqueue(&Enqueue::new("q", "second")).unwrap();
    transaction.commit().unwrap();
    assert_eq!(claim(&database, "q", "w", 10).len(), 2);
}

#[test]
fn after_a_statement_that_failed_only_rolling_back_works() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut transaction = database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
    assert!(matches!(transaction.execute("SELECT * FROM nowhere", &[]), Err(Error::Sql(_))));
    assert!(transaction.enqueue(&Enqueue::new("q", "p")).is_err());
    assert!(matches!(transaction.commit(), Err(Error::Aborted(_))));
    assert_eq!(count(&database, "honker._honker_live"), 0);
    // The connection is as good as new.
    let mut transaction = database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn a_statement_cannot_end_the_transaction() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut transaction = database.begin().unwrap();
    transaction.enqueue(&Enqueue::new("q", "p")).unwrap();
    for sql in ["COMMIT", "/* a */ rollback", "BEGIN", "END;", "START TRANSACTION", "PREPARE TRANSACTION 'x'"]
    {
        assert!(matches!(transaction.execute(sql, &[]), Err(Error::Sql(_))), "{sql}");
    }
    for sql in ["", " ;", "-- nothing"] {
        assert!(transaction.execute(sql, &[]).is_err(), "{sql:?}");
    }
    transaction.execute("SAVEPOINT mine", &[]).unwrap();
    transaction.execute("ROLLBACK TO mine", &[]).unwrap();
    transaction.commit().unwrap();
    assert_eq!(count(&database, "honker._honker_live"), 1);
}

#[test]
fn values_go_and_come() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let given =
        [Value::Null, Value::Integer(-5), Value::Real(1.5), Value::from("ä'\\"), Value::Blob(vec![0, 255])];
    let rows = database.query("SELECT ?::int8, ?::int8, ?::float8, ?::text, ?::bytea", &given).unwrap();
    assert_eq!(rows.rows, [given.to_vec()]);
    let rows = database.query(
        "SELECT true, 1::int2, 2::int4, 0.5::float4, 12.30::numeric, '{\"a\":1}'::jsonb, '2026-11-30'::date,
                '2026-11-30 10:00:00.25+00'::timestamptz, '00000000-0000-0000-0000-0000000000ff'::uuid",
        &[],
    );
    let wanted = [
        Value::Integer(1),
        Value::Integer(1),
        Value::Integer(2),
        Value::Real(0.5),
        "12.30".into(),
        "{\"a\": 1}".into(),
        "2026-11-30".into(),
        "2026-11-30 10:00:00.25+00".into(),
        "00000000-0000-0000-0000-0000000000ff".into(),
    ];
    assert_eq!(rows.unwrap().rows, [wanted.to_vec()]);
    assert_eq!(database.query("SELECT 1 AS one WHERE false", &[]).unwrap().columns, ["one"]);
    assert!(matches!(database.query("SELECT '10.0.0.1'::inet", &[]), Err(Error::Unsupported(_))));
    assert!(matches!(database.query("DELETE FROM honker._honker_live", &[]), Err(Error::ReadOnly(_))));
    assert!(matches!(database.query("SELECT ?", &[Value::from("a\0")]), Err(Error::Invalid(_))));
}

#[test]
fn what_a_callers_statement_sets_does_not_stay() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    for _ in 0..3 {
        let mut transaction = database.begin().unwrap();
        transaction.execute("SET work_mem = '123kB'", &[]).unwrap();
        transaction.execute("CREATE TEMPORARY TABLE mine (x int)", &[]).unwrap();
        transaction.query("SELECT pg_advisory_lock(7)", &[]).unwrap();
        transaction.commit().unwrap();
        assert_ne!(value(&database, "SHOW work_mem"), Value::from("123kB"));
        assert_eq!(value(&database, "SHOW honker.wake"), Value::from("collect"));
        assert_eq!(
            value(&database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7"),
            Value::Integer(0)
        );
    }
}

#[test]
fn a_handler_settles_its_job_in_its_own_transaction() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let id = enqueue(&database, "q", "p");
    claim(&database, "q", "w", 1);
    let mut transaction = database.begin().unwrap();
    assert!(transaction.ack(id, "w").unwrap());
    transaction.rollback().unwrap();
    let mut transaction = database.begin().unwrap();
    assert!(transaction.ack(id, "w").unwrap());
    transaction.commit().unwrap();
    assert_eq!(database.get_job(id).unwrap(), None);
}

#[test]
fn a_database_without_the_schema_is_refused_unless_it_may_be_installed() {
    let Some(server) = Server::new() else { return };
    server.client().batch_execute("DROP SCHEMA honker CASCADE").unwrap();
    let refused = connect(&server.url, &Default::default(), false).map(|_| ()).unwrap_err();
    assert!(
        matches!(&refused, Error::CannotOpen(cause) if cause.message.contains("honker migrate")),
        "{refused:?}"
    );
    let database = connect(&format!("{}&honker_migrate=on", server.url), &Default::default(), false).unwrap();
    enqueue(&database, "q", "p");
    let again = connect(&server.url, &Default::default(), true).unwrap();
    assert_eq!(claim(&again, "q", "w", 1).len(), 1);
    server.client().batch_execute("UPDATE honker._honker_schema SET version = 99, min_version = 99").unwrap();
    let refused = connect(&server.url, &Default::default(), true).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::TooOld(_)), "{refused:?}");
}

#[test]
fn who_cannot_connect_is_told_why_without_the_password() {
    let Some(server) = Server::new() else { return };
    for (url, is_final) in [
        (server.url.replace("host=", "password=geheim&host=/nowhere"), false),
        (server.url.replacen("engine_", "password_", 1) + "&password=geheim", true),
        ("postgres://me:geheim@127.0.0.1:1/app?connect_timeout=2".to_owned(), false),
    ] {
        let error = connect(&url, &Default::default(), false).map(|_| ()).unwrap_err();
        assert_eq!(matches!(error, Error::CannotOpen(_)), is_final, "{error:?}");
        assert_eq!(matches!(error, Error::Connection(_)), !is_final, "{error:?}");
        assert!(!error.to_string().contains("geheim"), "{error}");
    }
}
