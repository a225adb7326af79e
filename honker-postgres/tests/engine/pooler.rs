//! Behind a pooler that lends connections for a transaction: PgBouncer, with a direct URL to listen.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use honker_core::Error;
use honker_core::consume::{Next, Worker, WorkerOptions};
use honker_core::database::{Database, Options, Value};
use honker_core::queue::Enqueue;
use honker_postgres::connect;
use tempfile::TempDir;

use crate::support::{LONG, Server, claim, count, enqueue, wait_until};

struct Pooler {
    child: Child,
    _folder: TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The database through a pooler with two connections for all.
fn open(server: &Server, options: &Options) -> Option<(Database, Pooler)> {
    let programs = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"];
    let Some(program) = programs.iter().find(|path| fs::metadata(path).is_ok()) else {
        println!("SKIPPED postgres behind a pooler: there is no pgbouncer (scripts/setup postgres)");
        return None;
    };
    let Ok(socket) = std::env::var("HONKER_POSTGRES_FOLDER") else {
        println!("SKIPPED postgres behind a pooler: the server is not one of with-cluster's");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display().to_string();
    let settings = format!(
        "[databases]\n* = host={socket}\n[pgbouncer]\nlisten_addr =\nunix_socket_dir = {path}\nlisten_port = 6543\n\
         auth_type = trust\nauth_file = {path}/users\npool_mode = transaction\ndefault_pool_size = 2\n"
    );
    fs::write(folder.path().join("settings"), settings).unwrap();
    fs::write(folder.path().join("users"), "\"app\" \"\"\n").unwrap();
    // It does not run as root, and is whoever the server is.
    let server_is = fs::metadata(&socket).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let _ = chown(folder.path(), Some(server_is.uid()), Some(server_is.gid()));
    let mut command = Command::new(program);
    std::os::unix::process::CommandExt::uid(&mut command, server_is.uid());
    let child = command
        .arg(folder.path().join("settings"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pooler = Pooler { child, _folder: folder };
    let direct: String = server.url.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let url = server.url.replace(&format!("host={socket}"), &format!("host={path}&port=6543"));
    let url = format!("{url}&honker_listen={direct}");
    let mut database = None;
    wait_until("the pooler is there", || {
        let opened = connect(&url, options, false);
        if let Err(error) = &opened {
            assert!(matches!(error, Error::Connection(_)), "{error:?}");
        }
        database = opened.ok();
        database.is_some()
    });
    Some((database?, pooler))
}

#[test]
fn everything_works_with_two_connections_for_all() {
    let Some(server) = Server::new() else { return };
    let Some((database, _pooler)) = open(&server, &Options::default()) else { return };
    let mut worker = Worker::new(&database, "q", "w", WorkerOptions::default()).unwrap();
    assert_eq!(worker.next(1, Some(Duration::ZERO)).unwrap(), Next::Timeout);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| worker.next(1, LONG).unwrap());
        thread::sleep(Duration::from_millis(200));
        server.client().batch_execute("SELECT honker.honker_enqueue('q', 'p')").unwrap();
        assert!(matches!(waiting.join().unwrap(), Next::Item(_)));
        for n in 0..8 {
            let database = &database;
            scope.spawn(move || {
                let (queue, worker) = (format!("q{n}"), format!("w{n}"));
                for _ in 0..10 {
                    let mut transaction = database.begin().unwrap();
                    transaction.enqueue(&Enqueue::new(&queue, "p")).unwrap();
                    assert_eq!(
                        transaction.query("SHOW honker.wake", &[]).unwrap().rows,
                        [[Value::from("collect")]]
                    );
                    transaction.commit().unwrap();
                    let jobs = claim(database, &queue, &worker, 1);
                    assert!(database.ack(jobs[0].id, &worker).unwrap());
                }
            });
        }
    });
    let none = database.query("SELECT id FROM honker._honker_live WHERE queue <> 'q'", &[]).unwrap();
    assert_eq!((none.columns.len(), none.rows.len()), (1, 0));
    assert!(matches!(database.queue_configure("q", "{\"nothing\":1}"), Err(Error::Invalid(_))));
    let setting = server
        .client()
        .query_one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()", &[]);
    assert!(setting.unwrap().get::<_, i64>(0) <= 4, "two of the pooler's, that which listens, and this one");
}

#[test]
fn a_lock_is_waited_for_no_longer_than_the_busy_timeout_says() {
    let Some(server) = Server::new() else { return };
    let options = Options { busy_timeout: Duration::from_millis(300), ..Options::default() };
    let Some((database, _pooler)) = open(&server, &options) else { return };
    let id = enqueue(&database, "q", "p");
    let mut other = server.client();
    let mut holding = other.transaction().unwrap();
    holding.execute("SELECT 1 FROM honker._honker_live WHERE id = $1 FOR UPDATE", &[&id]).unwrap();
    let start = Instant::now();
    let cancelled = database.cancel(id);
    assert!(matches!(cancelled, Err(Error::Busy(_))), "{cancelled:?}");
    assert!(start.elapsed() >= Duration::from_millis(250));
    holding.rollback().unwrap();
    assert!(database.cancel(id).unwrap());
    assert_eq!(count(&database, "honker._honker_live"), 0);
}
