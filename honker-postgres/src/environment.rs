//! What libpq finds in the environment: variables, the password file, the usual place of the socket.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// A variable that is set, and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Who this process runs as.
pub(crate) fn user_of_the_system() -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = std::fs::metadata("/proc/self").ok().map(|process| process.uid().to_string());
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let found = users.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            (id.is_some() && fields.get(2).copied() == id.as_deref()).then(|| fields[0].to_owned())
        });
        if found.is_some() {
            return found;
        }
    }
    variable("USER").or_else(|| variable("LOGNAME")).or_else(|| variable("USERNAME"))
}

/// Where a server is that no host was named for: its socket, where there is one.
pub(crate) fn default_host() -> &'static str {
    let folders = ["/var/run/postgresql", "/tmp"];
    let has_socket = |folder: &&&str| {
        let port = variable("PGPORT").unwrap_or_else(|| "5432".to_owned());
        cfg!(unix) && PathBuf::from(folder).join(format!(".s.PGSQL.{port}")).exists()
    };
    folders.iter().find(has_socket).copied().unwrap_or("localhost")
}

/// The password that the file has for this user at this server.
pub(crate) fn password_from_file(path: Option<String>, config: &Config) -> Option<String> {
    let path = match path {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(variable("HOME")?).join(".pgpass"),
    };
    if !is_private(&path) {
        return None;
    }
    let text = std::fs::read_to_string(path).ok()?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(_)) => "localhost".to_owned(),
        None => config.get_hostaddrs().first()?.to_string(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432).to_string();
    let user = config.get_user()?;
    let database = config.get_dbname().unwrap_or(user);
    let wanted = [&*host, &*port, database, user];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let matches = fields.iter().zip(wanted).all(|(field, wanted)| field == "*" || field == wanted);
        (fields.len() == 5 && matches).then(|| fields[4].clone())
    })
}

/// Nobody but its owner may read it, or it does not count, as libpq has it.
fn is_private(path: &std::path::Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o077 == 0)
    }
    #[cfg(not(unix))]
    path.is_file()
}

/// The fields of a line. A backslash makes the character behind it one like any other.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let last = fields.len() - 1;
        match character {
            '\\' => fields[last].extend(characters.next()),
            ':' if last < 4 => fields.push(String::new()),
            character => fields[last].push(character),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_five_fields() {
        assert_eq!(fields(r"h:5432:d\:b:me:a:b\\c"), ["h", "5432", "d:b", "me", r"a:b\c"]);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_of_passwords_counts_if_it_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pgpass");
        std::fs::write(&path, "# c\nother:*:*:me:no\nh:*:app:me:yes\n*:*:*:*:all\n").unwrap();
        let config: Config = "postgres://me@h/app".parse().unwrap();
        let read = || password_from_file(Some(path.to_str().unwrap().to_owned()), &config);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(), None);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read().as_deref(), Some("yes"));
        let other: Config = "postgres://you@elsewhere/app".parse().unwrap();
        assert_eq!(
            password_from_file(Some(path.to_str().unwrap().to_owned()), &other).as_deref(),
            Some("all")
        );
    }
}
