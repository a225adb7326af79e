//! TLS, against a server with certificates of the sorts that people make. It is one of its own.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use honker_core::database::{Database, Value};
use honker_core::{Error, Result};
use honker_postgres::connect;
use postgres::{Client, NoTls};

use crate::restart::with_own_server_set;
use crate::support::{enqueue, value, wait_until};

const PORT: &str = "HONKER_TEST_PORT";

fn openssl(folder: &Path, arguments: &str) {
    let done = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Lets the server have this certificate, NAME.crt and NAME.key.
fn install(from: &Path, name: &str, data: &Path, socket: &str) {
    let owner = fs::metadata(data).unwrap();
    for end in ["crt", "key"] {
        let to = data.join(format!("server.{end}"));
        fs::copy(from.join(format!("{name}.{end}")), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&to, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let mut client = Client::connect(socket, NoTls).unwrap();
    // The old one is used until the server has looked.
    client.batch_execute("ALTER SYSTEM SET ssl = off").unwrap();
    let mut is = |wanted: &str| {
        client.execute("SELECT pg_reload_conf()", &[]).unwrap();
        wait_until("the server has read its settings", || {
            client.query_one("SHOW ssl", &[]).unwrap().get::<_, &str>(0) == wanted
        });
    };
    is("off");
    Client::connect(socket, NoTls).unwrap().batch_execute("ALTER SYSTEM SET ssl = on").unwrap();
    is("on");
}

#[test]
fn certificates_are_verified_as_far_as_is_said() {
    let test = "encryption::certificates_are_verified_as_far_as_is_said";
    let port = std::env::var(PORT).unwrap_or_else(|_| {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port().to_string()
    });
    if Command::new("openssl").arg("version").output().is_err() {
        println!("SKIPPED postgres: no openssl to make certificates with");
        return;
    }
    let settings = ["listen_addresses=127.0.0.1".to_owned(), format!("port={port}")];
    if !with_own_server_set(test, &settings, &[(PORT, &port)]) {
        return;
    }
    let folder = std::env::var("HONKER_POSTGRES_FOLDER").unwrap();
    let socket = format!("postgres:///postgres?host={folder}&port={port}&user=app");
    let certificates = tempfile::tempdir().unwrap();
    let here = certificates.path();
    fs::write(here.join("names"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    openssl(here, "req -x509 -newkey rsa:2048 -nodes -keyout root.key -out root.crt -subj /CN=root -days 2");
    openssl(here, "req -newkey rsa:2048 -nodes -keyout good.key -out good.csr -subj /CN=server");
    openssl(
        here,
        "x509 -req -in good.csr -CA root.crt -CAkey root.key -CAcreateserial -out good.crt -days 2 -extfile names",
    );
    openssl(here, "x509 -req -in good.csr -CA root.crt -CAkey root.key -CAcreateserial -out old.crt -days 2");
    fs::copy(here.join("good.key"), here.join("old.key")).unwrap();
    openssl(
        here,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-384 -sha384 -nodes -keyout own.key -out own.crt -subj /CN=own -days 2 -addext subjectAltName=IP:127.0.0.1",
    );
    let data = Path::new(&folder).join("data");
    let mut admin = Client::connect(&socket, NoTls).unwrap();
    admin.batch_execute(honker_postgres::SQL).unwrap();
    // Postgres 13 keeps passwords in another way unless it is told to.
    admin
        .batch_execute("SET password_encryption = 'scram-sha-256'; ALTER ROLE app PASSWORD 'geheim'")
        .unwrap();
    fs::write(data.join("pg_hba.conf"), "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
        .unwrap();
    let root = |name: &str| here.join(format!("{name}.crt")).to_str().unwrap().to_owned();
    let open = |parameters: &str| -> Result<Database> {
        let url = format!("postgres://app:geheim@127.0.0.1:{port}/postgres?{parameters}");
        let database = connect(&url, &Default::default(), false)?;
        let is_encrypted = value(&database, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
        assert_eq!(is_encrypted, Value::Integer(1), "{parameters}");
        enqueue(&database, "q", "p");
        Ok(database)
    };
    let is_refused = |parameters: &str| {
        let refused = open(parameters).map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::CannotOpen(_)), "{parameters}: {refused:?}");
        assert!(!refused.to_string().contains("geheim"), "{refused}");
    };

    install(here, "good", &data, &socket);
    for parameters in [
        "",
        "sslmode=require",
        "channel_binding=require",
        &format!("sslmode=require&sslrootcert={}", root("root")),
        &format!("sslmode=verify-ca&sslrootcert={}", root("root")),
        &format!("sslmode=verify-full&sslrootcert={}", root("root")),
    ] {
        open(parameters).unwrap_or_else(|error| panic!("{parameters}: {error}")).close().unwrap();
    }
    for parameters in [
        "sslmode=disable",
        "sslmode=verify-ca",
        &format!("sslmode=require&sslrootcert={}", root("own")),
        &format!("sslmode=verify-full&sslrootcert={}", root("own")),
    ] {
        is_refused(parameters);
    }
    let elsewhere = format!(
        "postgres://app:geheim@elsewhere.example:{port}/postgres?hostaddr=127.0.0.1&sslrootcert={}&sslmode=",
        root("root")
    );
    connect(&format!("{elsewhere}verify-ca"), &Default::default(), false).unwrap();
    let other_name = connect(&format!("{elsewhere}verify-full"), &Default::default(), false).map(|_| ());
    assert!(matches!(other_name, Err(Error::CannotOpen(_))), "{other_name:?}");

    install(here, "own", &data, &socket);
    for mode in ["verify-ca", "verify-full"] {
        let parameters = format!("sslmode={mode}&sslrootcert={}&channel_binding=require", root("own"));
        open(&parameters).unwrap_or_else(|error| panic!("{parameters}: {error}"));
        is_refused(&format!("sslmode={mode}&sslrootcert={}", root("root")));
    }

    // Of version 1, as the manual of Postgres makes them.
    install(here, "old", &data, &socket);
    let database = open("sslmode=require&channel_binding=require").unwrap();
    // A request to cancel is encrypted as well.
    std::thread::scope(|scope| {
        let sleeping = scope.spawn(|| database.query("SELECT pg_sleep(60)", &[]));
        let asleep =
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)%'
                      AND pid <> pg_backend_pid()";
        let mut other = Client::connect(&socket, NoTls).unwrap();
        let mut asleep = || other.query_one(asleep, &[]).unwrap().get::<_, i64>(0);
        wait_until("it sleeps", || asleep() == 1);
        database.interrupt().unwrap();
        assert!(matches!(sleeping.join().unwrap(), Err(Error::Interrupted(_))));
        wait_until("it sleeps no more", || asleep() == 0);
    });
}
