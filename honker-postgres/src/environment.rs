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
pub(crate) fn default_host(port: u16) -> &'static str {
    let has_socket =
        |folder: &&&str| cfg!(unix) && PathBuf::from(folder).join(format!(".s.PGSQL.{port}")).exists();
    SOCKET_FOLDERS.iter().find(has_socket).copied().unwrap_or("localhost")
}

/// Where servers are built to put their sockets.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// The file of root certificates that is used unless another is named.
pub(crate) fn usual_roots() -> Option<String> {
    let path = PathBuf::from(variable("HOME")?).join(".postgresql/root.crt");
    path.is_file().then(|| path.to_str().map(str::to_owned))?
}

/// The passwords that the file has for this user at each of the hosts; none if there is no such file.
pub(crate) fn passwords_from_file(path: Option<String>, config: &Config) -> Vec<Option<String>> {
    let usual = || Some(PathBuf::from(variable("HOME")?).join(".pgpass"));
    let path = path.map(PathBuf::from).or_else(usual).filter(|path| is_private(path));
    let Some(text) = path.and_then(|path| std::fs::read_to_string(path).ok()) else { return Vec::new() };
    let (hosts, numbers, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    (0..hosts.len().max(numbers.len()))
        .map(|index| {
            let host = match hosts.get(index) {
                Some(Host::Tcp(host)) => host.clone(),
                // As libpq has it: a socket at its usual place is this machine's, another is named by its folder.
                #[cfg(unix)]
                Some(Host::Unix(path)) => match path.to_str() {
                    Some(path) if SOCKET_FOLDERS.contains(&path) => "localhost".to_owned(),
                    path => path.unwrap_or_default().to_owned(),
                },
                None => numbers.get(index)?.to_string(),
            };
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432).to_string();
            password(&text, &host, &port, config)
        })
        .collect()
}

fn password(text: &str, host: &str, port: &str, config: &Config) -> Option<String> {
    let user = config.get_user()?;
    let wanted = [host, port, config.get_dbname().unwrap_or(user), user];
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
        std::fs::write(&path, "# c\nother:*:*:me:no\nh:6000:*:*:there\nh:*:app:me:yes\n/run/pg:*:*:*:socket\nlocalhost:*:*:*:local\n*:*:*:*:all\n").unwrap();
        let read = |url: &str| {
            let passwords =
                passwords_from_file(Some(path.to_str().unwrap().to_owned()), &url.parse().unwrap());
            passwords.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>()
        };
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read("postgres://me@h/app"), [""; 0]);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read("postgres://me@h/app"), ["yes"]);
        assert_eq!(read("postgres://me@elsewhere,h:6000/app"), ["all", "there"]);
        assert_eq!(read("postgres://me@%2Frun%2Fpg/app"), ["socket"]);
        assert_eq!(read("postgres://me@%2Ftmp/app"), ["local"]);
    }
}
