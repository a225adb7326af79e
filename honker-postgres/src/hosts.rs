//! One address after the other, where a URL or a name stands for several.
//!
//! Each has the whole time that connecting may take, as with libpq. tokio-postgres would allow it for the network's part alone, and
//! a server that takes a connection and then says nothing would keep the others from being tried.

use tokio::net::lookup_host;
use tokio_postgres::config::{Host, LoadBalanceHosts};
use tokio_postgres::{Client, Config, Connection, Socket};

use honker_core::{Error, Result};
use tokio::time::timeout;

use crate::failure;
use crate::tls::TlsStream;
use crate::url::{CONNECT_MAX, Endpoint};

pub(crate) async fn connect(
    endpoint: &Endpoint,
    name: &str,
) -> Result<(Client, Connection<Socket, TlsStream>)> {
    let failed =
        |what: &dyn std::fmt::Display| Error::Connection(format!("cannot connect to {name}: {what}").into());
    let mut last = failed(&"there is no host");
    for host in each(&endpoint.config, &endpoint.passwords) {
        let at_most = host.get_connect_timeout().copied().unwrap_or(CONNECT_MAX);
        let addresses = match timeout(at_most, addresses(host)).await {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => {
                last = failed(&error);
                continue;
            }
            Err(_) => {
                last = failed(&"its name cannot be looked up: it takes too long");
                continue;
            }
        };
        for address in addresses {
            last = match timeout(at_most, address.connect(endpoint.tls.clone())).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => match failure::of_connecting(name, &error) {
                    // It has answered: another would not take the password either.
                    error @ Error::CannotOpen(_) => return Err(error),
                    error => error,
                },
                Err(_) => failed(&"it takes too long"),
            };
        }
    }
    Err(last)
}

/// The same for each host alone, in the order in which they are to be tried.
fn each(config: &Config, passwords: &[Option<String>]) -> Vec<Config> {
    let (hosts, numbers, ports) = (config.get_hosts(), config.get_hostaddrs(), config.get_ports());
    let mut all: Vec<Config> = (0..hosts.len().max(numbers.len()))
        .map(|index| {
            let mut one = without_hosts(config);
            if let Some(port) = ports.get(index).or(ports.first()) {
                one.port(*port);
            }
            match hosts.get(index) {
                Some(Host::Tcp(host)) => drop(one.host(host)),
                #[cfg(unix)]
                Some(Host::Unix(path)) => drop(one.host_path(path)),
                None => {}
            }
            if let Some(number) = numbers.get(index) {
                one.hostaddr(*number);
            }
            if let Some(Some(password)) = passwords.get(index) {
                one.password(password);
            }
            one
        })
        .collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        fastrand::shuffle(&mut all);
    }
    all
}

/// The same for each address that a host's name stands for.
async fn addresses(config: Config) -> std::io::Result<Vec<Config>> {
    let ([Host::Tcp(host)], []) = (config.get_hosts(), config.get_hostaddrs()) else {
        return Ok(vec![config]);
    };
    let mut all: Vec<Config> = lookup_host((&**host, 0))
        .await?
        .map(|address| {
            let mut one = config.clone();
            one.hostaddr(address.ip());
            one
        })
        .collect();
    if config.get_load_balance_hosts() == LoadBalanceHosts::Random {
        fastrand::shuffle(&mut all);
    }
    Ok(all)
}

fn without_hosts(config: &Config) -> Config {
    let mut one = Config::new();
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    if let Some(name) = config.get_application_name() {
        one.application_name(name);
    }
    if let Some(time) = config.get_connect_timeout() {
        one.connect_timeout(*time);
    }
    if let Some(time) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*time);
    }
    if let Some(time) = config.get_keepalives_interval() {
        one.keepalives_interval(time);
    }
    if let Some(count) = config.get_keepalives_retries() {
        one.keepalives_retries(count);
    }
    one.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .target_session_attrs(config.get_target_session_attrs())
        .channel_binding(config.get_channel_binding())
        .load_balance_hosts(config.get_load_balance_hosts());
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_all_that_holds_for_all() {
        let text = "postgres://me:secret@one,two:7000/app?application_name=shop&options=-c%20a%3Db&connect_timeout=3\
                    &keepalives=0&keepalives_idle=9&keepalives_interval=8&keepalives_retries=7&tcp_user_timeout=6\
                    &channel_binding=require&target_session_attrs=read-write&sslmode=require&sslnegotiation=direct";
        let config: Config = text.parse().unwrap();
        let all = each(&config, &[None, Some("other".to_owned())]);
        assert_eq!(all.len(), 2);
        for (index, (host, port, password)) in
            [("one", 5432, "secret"), ("two", 7000, "other")].into_iter().enumerate()
        {
            let alone = text
                .replace("one,two:7000", &format!("{host}:{port}"))
                .replace(":secret@", &format!(":{password}@"));
            assert_eq!(all[index], alone.parse().unwrap());
        }
    }
}
