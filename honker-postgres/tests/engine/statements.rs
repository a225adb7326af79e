//! What is sent to the server for a call: one statement, prepared by name where there is no pooler.

use honker_core::database::{Database, Options, Value};
use honker_core::queue::Enqueue;

use crate::support::{Server, claim, enqueue, value, wait_until};

const PREPARED: &str =
    "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%honker._enqueue_plain%'";

fn open(server: &Server, parameters: &str) -> Database {
    honker_postgres::connect(&format!("{}&{parameters}", server.url), &Options::default(), false).unwrap()
}

/// The server's log, from here on.
struct Log {
    path: std::path::PathBuf,
    from: usize,
}

impl Log {
    /// `None`, which is said, if the server is not that of `with-cluster`.
    fn of_the_server() -> Option<Self> {
        let Ok(folder) = std::env::var("HONKER_POSTGRES_FOLDER") else {
            println!("SKIPPED postgres: the log of the server is not to be had");
            return None;
        };
        Some(Log { path: std::path::Path::new(&folder).join("log"), from: 0 })
    }

    fn text(&self) -> String {
        let bytes = std::fs::read(&self.path).unwrap();
        String::from_utf8_lossy(&bytes[self.from..]).into_owned()
    }

    /// What was executed on the connection that calls use while `body` ran: the lines that say so.
    fn executed(&mut self, database: &Database, body: impl FnOnce()) -> Vec<String> {
        self.from += self.text().len();
        body();
        // What comes after it in the log came after it.
        let end = format!("SELECT 'until {}'", self.from);
        database.query(&end, &[]).unwrap();
        wait_until("the log has it", || self.text().contains(&end));
        let text = self.text();
        let Value::Integer(pid) = value(database, "SELECT pg_backend_pid()") else { panic!("no number") };
        let pid = format!("[{pid}]");
        let lines = text.lines().filter(|line| line.contains(" execute ") || line.contains(" statement: "));
        lines
            .take_while(|line| !line.ends_with("BEGIN READ ONLY"))
            .filter(|line| line.contains(&pid))
            .map(str::to_owned)
            .collect()
    }
}

#[test]
fn a_call_for_many_jobs_is_one_statement() {
    let Some(server) = Server::new() else { return };
    let Some(mut log) = Log::of_the_server() else { return };
    // Every statement of these connections is logged, with its text; of others none is.
    let database = open(&server, "options=-c%20log_min_duration_statement%3D0");
    enqueue(&database, "many", "p");
    let jobs = vec![Enqueue::new("many", "p"); 99];
    let mut ids = Vec::new();
    for what in ["enqueue", "claim", "ack"] {
        let executed = log.executed(&database, || match what {
            "enqueue" => assert_eq!(database.enqueue_many(&jobs).unwrap().len(), 99),
            "claim" => ids = claim(&database, "many", "w", 200).iter().map(|job| job.id).collect(),
            _ => assert_eq!(database.ack_batch(&ids, "w").unwrap(), 100),
        });
        // The transaction is the statement's own.
        assert_eq!(executed.len(), 1, "{what}: {executed:?}");
    }
}

#[test]
fn statements_have_names_unless_that_is_switched_off_or_there_is_a_pooler() {
    let Some(server) = Server::new() else { return };
    let listen = server.url.replace('%', "%25").replace('&', "%26").replace('=', "%3D").replace('?', "%3F");
    for (parameters, count) in
        [("honker_prepare=on", 1), ("honker_prepare=off", 0), (&*format!("honker_listen={listen}"), 0)]
    {
        let database = open(&server, parameters);
        for _ in 0..3 {
            enqueue(&database, "q", "p");
        }
        assert_eq!(value(&database, PREPARED), Value::Integer(count), "{parameters}");
    }
    assert_eq!(
        server.client().query_one("SELECT count(*) FROM honker._honker_live", &[]).unwrap().get::<_, i64>(0),
        9
    );
}

#[test]
fn what_the_server_has_forgotten_is_prepared_again() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    enqueue(&database, "q", "first");
    let mut transaction = database.begin().unwrap();
    transaction.execute("DEALLOCATE ALL", &[]).unwrap();
    transaction.enqueue(&Enqueue::new("q", "second")).unwrap();
    transaction.execute("DEALLOCATE ALL", &[]).unwrap();
    transaction.commit().unwrap();
    enqueue(&database, "q", "third");
    assert_eq!(value(&database, PREPARED), Value::Integer(1));
    assert_eq!(claim(&database, "q", "w", 9).len(), 3);
}

#[test]
fn what_cannot_be_prepared_leaves_a_transaction_usable() {
    let Some(server) = Server::new() else { return };
    let database = server.open();
    let mut transaction = database.begin().unwrap();
    server.client().batch_execute("ALTER FUNCTION honker._enqueue_plain RENAME TO gone").unwrap();
    transaction.enqueue(&Enqueue::new("q", "refused")).unwrap_err();
    let plain = "INSERT INTO honker._honker_live (queue, payload) VALUES ('q', 'taken')";
    assert_eq!(transaction.execute(plain, &[]).unwrap(), 1);
    transaction.commit().unwrap();
    assert_eq!(claim(&database, "q", "w", 9).len(), 1);
}
