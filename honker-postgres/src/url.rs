//! The URL of a server, as users of libpq know it: `postgres://` or `postgresql://`, with its parameters, and with the
//! environment variables and the password file that libpq looks at for what the URL does not say.
//!
//! A password is in none of the texts that come from here: not in errors, not in the name of the database.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use honker_core::{Error, Result};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::environment::{default_host, passwords_from_file, user_of_the_system, usual_roots, variable};
use crate::tls::{Tls, Verify};

/// How long connecting to an address may take, if the URL does not say so.
pub(crate) const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Where a server is, and how to connect to it.
#[derive(Clone, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) config: Config,
    /// For each host that which the file of passwords has, if nothing else has one.
    pub(crate) passwords: Vec<Option<String>>,
    pub(crate) tls: Tls,
    /// Whether statements may be prepared by name: not behind a pooler that hands out connections by transaction.
    pub(crate) prepares: bool,
}

/// What a URL says.
pub(crate) struct Url {
    pub(crate) endpoint: Endpoint,
    /// Where to listen, if that is elsewhere: the other URL is a transaction pooler's.
    pub(crate) listen: Option<Endpoint>,
    /// Whether the schema is to be installed, or brought up to date.
    pub(crate) migrate: bool,
    /// Without password and parameters.
    pub(crate) name: String,
}

/// Whether this is the URL of a server, and not a file's name.
pub fn is_url(text: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme))
}

impl Url {
    pub(crate) fn parse(text: &str) -> Result<Url> {
        let given = Parts::split(text)?;
        let mut url = Url {
            endpoint: given.endpoint()?,
            listen: None,
            migrate: given.flag("honker_migrate", false)?,
            name: String::new(),
        };
        if let Some(listen) = given.get("honker_listen") {
            let listen = Parts::split(listen).map_err(|error| within("honker_listen", &error))?;
            url.listen = Some(listen.endpoint().map_err(|error| within("honker_listen", &error))?);
        }
        url.name = url.endpoint.name();
        Ok(url)
    }
}

fn within(parameter: &str, error: &Error) -> Error {
    Error::invalid(format!("{parameter}: {error}"))
}

fn invalid(what: impl fmt::Display) -> Error {
    Error::invalid(format!("the URL of the server: {what}"))
}

/// A URL taken apart: what is before its `?`, and its parameters.
struct Parts<'a> {
    base: &'a str,
    parameters: Vec<(&'a str, String)>,
}

/// Parameters that tokio-postgres understands as libpq means them.
const PASSED_ON: [&str; 20] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
    // Under libpq's name for it.
    "keepalives_count",
    "fallback_application_name",
];

/// Parameters that are dealt with here, or that say nothing here.
const OWN: [&str; 10] = [
    "sslmode",
    "sslrootcert",
    "passfile",
    "honker_listen",
    "honker_migrate",
    "honker_prepare",
    "client_encoding",
    "gssencmode",
    "sslcompression",
    "sslsni",
];

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Self> {
        if !is_url(text) {
            return Err(invalid("it has to begin with postgres:// or postgresql://"));
        }
        if text.contains('\0') {
            return Err(invalid("it contains a NUL"));
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !PASSED_ON.contains(&name) && !OWN.contains(&name) {
                // A `?` in a password makes a part of it a parameter.
                return Err(match query.contains('@') {
                    true => invalid("a `?`, `/`, `@` or `#` in a password has to be percent-encoded"),
                    false => invalid(format!("the parameter '{name}' is not known")),
                });
            }
            let value =
                decode(value).ok_or_else(|| invalid(format!("'{name}' has a wrong percent-encoding")))?;
            parameters.push((name, value));
        }
        Ok(Parts { base, parameters })
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| &**value)
    }

    fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.get(name) {
            None => Ok(default),
            Some("0" | "off" | "false" | "no") => Ok(false),
            Some("1" | "on" | "true" | "yes") => Ok(true),
            Some(_) => Err(invalid(format!("'{name}' is neither on nor off"))),
        }
    }

    /// A parameter, or else the variable of the environment that stands for it.
    fn or_variable(&self, name: &str, of: &str) -> Option<String> {
        self.get(name).map(str::to_owned).or_else(|| variable(of))
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let hosts = self.get("host");
        let mut text = self.base.to_owned();
        let mut separator = '?';
        // As for libpq, a parameter takes the place of what the URL says before its path.
        if hosts.is_some() {
            let (base, ports) = without_hosts(self.base);
            text = base;
            if !ports.is_empty() && self.get("port").is_none() {
                text.push_str(&format!("?port={ports}"));
                separator = '&';
            }
        }
        for (name, value) in self.parameters.iter().filter(|(name, _)| PASSED_ON.contains(name)) {
            let name = match *name {
                "keepalives_count" => "keepalives_retries",
                "fallback_application_name" | "host" => continue,
                name => name,
            };
            text.push(separator);
            text.push_str(name);
            text.push('=');
            text.push_str(&encode(value));
            separator = '&';
        }
        // Its errors name options, never values.
        let mut config = Config::from_str(&text).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            invalid(cause.unwrap_or_else(|| "it cannot be read".to_owned()))
        })?;
        // Several of them, some of which may be folders.
        for host in hosts.into_iter().flat_map(|hosts| hosts.split(',')) {
            config.host(host);
        }
        self.complete(&mut config)?;
        let passwords = match config.get_password() {
            Some(_) => Vec::new(),
            None => passwords_from_file(self.or_variable("passfile", "PGPASSFILE"), &config),
        };
        let tls = self.tls(&mut config)?;
        let prepares = self.flag("honker_prepare", self.get("honker_listen").is_none())?;
        Ok(Endpoint { config, passwords, tls, prepares })
    }

    /// What the URL does not say, as libpq finds it out.
    fn complete(&self, config: &mut Config) -> Result<()> {
        if config.get_ports().is_empty()
            && let Some(ports) = variable("PGPORT")
        {
            for port in ports.split(',') {
                config.port(port.parse().map_err(|_| invalid("PGPORT is no port"))?);
            }
        }
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            match variable("PGHOST") {
                Some(hosts) => {
                    for host in hosts.split(',') {
                        config.host(host);
                    }
                }
                None => {
                    config.host(default_host(config.get_ports().first().copied().unwrap_or(5432)));
                }
            }
        }
        if config.get_user().is_none() {
            let user = variable("PGUSER").or_else(user_of_the_system);
            config.user(user.ok_or_else(|| invalid("it names no user"))?);
        }
        if config.get_dbname().is_none()
            && let Some(name) = variable("PGDATABASE")
        {
            config.dbname(name);
        }
        if config.get_password().is_none()
            && let Some(password) = variable("PGPASSWORD")
        {
            config.password(password);
        }
        if config.get_options().is_none()
            && let Some(options) = variable("PGOPTIONS")
        {
            config.options(options);
        }
        if config.get_application_name().is_none() {
            let name = variable("PGAPPNAME")
                .or_else(|| self.get("fallback_application_name").map(str::to_owned))
                .unwrap_or_else(|| "honker".to_owned());
            config.application_name(name);
        }
        if config.get_connect_timeout().is_none() {
            let seconds = variable("PGCONNECT_TIMEOUT").and_then(|seconds| seconds.parse().ok());
            config.connect_timeout(seconds.filter(|s| *s > 0).map_or(CONNECT_MAX, Duration::from_secs));
        }
        // So that a connection whose other end is gone is noticed within seconds, not hours (docs/postgres.md).
        if self.get("keepalives_idle").is_none() {
            config.keepalives_idle(Duration::from_secs(5));
        }
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(Duration::from_secs(2));
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(3);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(12));
        }
        Ok(())
    }

    fn tls(&self, config: &mut Config) -> Result<Tls> {
        let roots = self.or_variable("sslrootcert", "PGSSLROOTCERT").or_else(usual_roots);
        let mode = self.or_variable("sslmode", "PGSSLMODE");
        let (mode, verify) = match mode.as_deref() {
            Some("disable") => (SslMode::Disable, Verify::Nothing),
            None | Some("" | "allow" | "prefer") => (SslMode::Prefer, Verify::Nothing),
            // With root certificates at hand libpq verifies, as older versions of it did.
            Some("require") if roots.is_some() => (SslMode::Require, Verify::Certificate),
            Some("require") => (SslMode::Require, Verify::Nothing),
            Some("verify-ca") => (SslMode::Require, Verify::Certificate),
            Some("verify-full") => (SslMode::Require, Verify::Name),
            Some(_) => {
                return Err(invalid(
                    "'sslmode' is none of disable, allow, prefer, require, verify-ca and verify-full",
                ));
            }
        };
        config.ssl_mode(mode);
        // There is nothing to encrypt within a machine.
        let is_local = config.get_hosts().iter().all(|host| !matches!(host, Host::Tcp(_)))
            && config.get_hostaddrs().is_empty();
        if is_local || mode == SslMode::Disable {
            config.ssl_mode(SslMode::Disable);
            return Ok(Tls::none());
        }
        Tls::new(verify, roots.as_deref())
    }
}

impl Endpoint {
    /// Who and where, without a password.
    pub(crate) fn name(&self) -> String {
        let mut name = "postgres://".to_owned();
        if let Some(user) = self.config.get_user() {
            name.push_str(&encode(user));
            name.push('@');
        }
        let ports = self.config.get_ports();
        let mut hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                // A number of the longer sort, whose colons are not those of a port.
                Host::Tcp(host) if host.contains(':') => format!("[{host}]"),
                Host::Tcp(host) => host.clone(),
                #[cfg(unix)]
                Host::Unix(path) => encode(&path.to_string_lossy()),
            })
            .collect();
        if hosts.is_empty() {
            hosts = self.config.get_hostaddrs().iter().map(ToString::to_string).collect();
        }
        let hosts: Vec<String> = hosts
            .into_iter()
            .enumerate()
            .map(|(index, host)| match ports.get(index).or(ports.first()) {
                Some(port) if *port != 5432 => format!("{host}:{port}"),
                _ => host,
            })
            .collect();
        name.push_str(&hosts.join(","));
        name.push('/');
        name.push_str(&encode(self.config.get_dbname().unwrap_or_default()));
        name
    }
}

/// A URL as far as its path, without the hosts, and the ports that it had for them.
fn without_hosts(base: &str) -> (String, String) {
    let (scheme, rest) = base.split_once("://").unwrap_or(("", base));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let ports: Vec<&str> = hosts
        .split(',')
        .filter_map(|host| host.rsplit_once(':'))
        .map(|(_, port)| port)
        .filter(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
        .collect();
    (format!("{scheme}://{user}@{path}"), ports.join(","))
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte as char),
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Config {
        Url::parse(text).unwrap().endpoint.config
    }

    fn refused(text: &str) -> String {
        Url::parse(text).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn urls_of_both_schemes_are_urls_and_files_are_not() {
        for url in ["postgres://", "postgresql://h/db"] {
            assert!(is_url(url), "{url}");
        }
        for file in ["app.db", "file:app.db", "postgres", "POSTGRES://h", "postgres:/x", "/postgres://x", ""]
        {
            assert!(!is_url(file), "{file}");
        }
    }

    #[test]
    fn the_parts_are_those_of_libpq() {
        let config =
            endpoint("postgresql://me:p%40ss@db.example:6000/app?application_name=shop&connect_timeout=3");
        assert_eq!(config.get_hosts(), [Host::Tcp("db.example".to_owned())]);
        assert_eq!(config.get_ports(), [6000]);
        assert_eq!(config.get_user(), Some("me"));
        assert_eq!(config.get_password(), Some(&b"p@ss"[..]));
        assert_eq!(config.get_dbname(), Some("app"));
        assert_eq!(config.get_application_name(), Some("shop"));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(config.get_ssl_mode(), SslMode::Prefer);
    }

    #[cfg(unix)]
    #[test]
    fn a_host_that_is_a_path_is_a_socket() {
        for url in ["postgres:///app?host=/run/pg&user=me", "postgres://me@%2Frun%2Fpg/app"] {
            let config = endpoint(url);
            assert_eq!(config.get_hosts(), [Host::Unix("/run/pg".into())], "{url}");
            assert_eq!(config.get_ssl_mode(), SslMode::Disable, "{url}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn there_may_be_several_hosts_of_both_sorts() {
        let config = endpoint("postgres://me@/app?host=one,/run/pg&port=1,2");
        assert_eq!(config.get_hosts(), [Host::Tcp("one".to_owned()), Host::Unix("/run/pg".into())]);
        assert_eq!(config.get_ports(), [1, 2]);
        let config = endpoint("postgres://me:p@one:5,[::1]:6/app?host=/run/pg,two");
        assert_eq!(config.get_hosts(), [Host::Unix("/run/pg".into()), Host::Tcp("two".to_owned())]);
        assert_eq!(config.get_ports(), [5, 6]);
        assert_eq!(endpoint("postgres://one:5/app?host=two&port=7").get_ports(), [7]);
        assert_eq!(Url::parse("postgres://me@[::1]:7/app").unwrap().name, "postgres://me@[::1]:7/app");
    }

    #[test]
    fn no_text_has_the_password() {
        let url = "postgres://me:secret@h1,h2:7000/app?password=secret&options=-c%20x%3Dsecret";
        assert_eq!(Url::parse(url).unwrap().name, "postgres://me@h1,h2:7000/app");
        for wrong in [
            "postgres://me:secret@h/app?port=secret",
            "postgres://me:secret@h:secret/app",
            "postgres://me:secret@h/app?sslmode=secret",
            "postgres://me:a?secret@h/app",
            "postgres://me:a?secret=1@h/app",
            "postgres://me:secret@h/app?honker_listen=secret",
            "postgres://me@h/app?honker_listen=postgres%3A%2F%2Fme%3Asecret%40h%3Asecret",
            "postgres://me:secret@h/app?password=%zzsecret",
            "postgres://me:secret@h/app?sslmode=verify-full&sslrootcert=/no/such/file",
        ] {
            let text = refused(wrong);
            assert!(!text.contains("secret"), "{wrong}: {text}");
        }
    }

    #[test]
    fn what_is_not_known_is_named() {
        assert!(refused("postgres://h/app?sslmod=require").contains("'sslmod'"));
        assert!(refused("postgres://h/app?sslmode=sometimes").contains("verify-full"));
        assert!(refused("postgres://h/app?honker_migrate=perhaps").contains("honker_migrate"));
    }

    #[test]
    fn another_place_to_listen_is_another_endpoint() {
        let url =
            Url::parse("postgres://me@pooler/app?honker_listen=postgres%3A%2F%2Fyou%40direct%2Fapp").unwrap();
        assert_eq!(url.listen.unwrap().config.get_user(), Some("you"));
    }
}
