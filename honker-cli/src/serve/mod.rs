//! `honker serve`: the page, its JSON API, and what monitoring asks for.
//!
//! `guard.rs` decides who may ask what, `login.rs` keeps the sessions of browsers, `events.rs` sends the state of the file to all who look,
//! `api.rs` reads and `write.rs` writes, `openapi.rs` describes both, `monitor.rs` is for Prometheus and load balancers, `page.rs` has
//! the page's files, `connections.rs` bounds the connections, `current.rs` has the file. The database is used in threads for blocking work, a few at a time, whatever the number of requests.

mod api;
mod connections;
mod current;
mod events;
mod guard;
mod login;
mod monitor;
mod openapi;
mod page;
mod write;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use clap::Args;
use honker_core::database::Database;
use serde_json::json;
use tokio::sync::{Semaphore, watch};

use self::current::Current;
use self::events::Events;
use self::login::Sessions;
use crate::failure::{Failure, Result};
use crate::file::{self, Db, File};
use crate::system::EndSignals;

/// So many requests use the database at once.
const READS_MAX: usize = 4;

/// A request that takes longer is given up.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Show the file in a browser, live, and to monitoring
///
/// One page, and under it /api (described by /api/openapi.json), /metrics for Prometheus and /healthz. It only reads unless --write
/// is given. It listens on this machine only unless told otherwise, and then wants a token: browsers log in with it, programs send it as
/// `Authorization: Bearer …`. It speaks HTTP: put a proxy with TLS in front if others are to see it.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  honker serve app.db
  honker serve app.db --write
  honker serve app.db --listen 0.0.0.0:7070 --token-file /etc/honker/token --host queue.example.com --prefix /honker
  curl -H \"Authorization: Bearer $(cat /etc/honker/token)\" http://queue.example.com/honker/api/overview")]
pub struct Serve {
    #[command(flatten)]
    file: File,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    listen: SocketAddr,
    /// Let those who may read also change things
    #[arg(long)]
    write: bool,
    /// A file whose first line is the token that everybody has to know
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where a proxy has put the page: /p
    #[arg(long, value_name = "PATH", value_parser = prefix)]
    prefix: Option<String>,
    /// A name by which it is asked, beside its address and the names of this machine's loopback; several may be given
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// /healthz fails if a queue that is not paused has a job that has been due for longer
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(i64).range(1..))]
    late_s: i64,
}

/// What all requests share.
pub struct Site {
    current: Arc<Current>,
    write: bool,
    token: Option<String>,
    listen: SocketAddr,
    hosts: Vec<String>,
    prefix: String,
    late_s: i64,
    sessions: Sessions,
    events: Events,
    reads: Arc<Semaphore>,
}

type Shared = Arc<Site>;

impl Serve {
    pub fn run(self, db: &Db) -> Result {
        let token = self.token_file.as_deref().map(read_token).transpose()?;
        if token.is_none() && !self.listen.ip().is_loopback() {
            return Err(Failure::Usage(format!(
                "{} can be reached by others: --token-file says who may look",
                self.listen.ip()
            )));
        }
        let path = db.path_or(&self.file)?;
        let current = Arc::new(Current::open(path, if self.write { file::open } else { file::look })?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(READS_MAX + 4)
            .enable_all()
            .build()?;
        let outcome = runtime.block_on(self.serve(Arc::clone(&current), token));
        runtime.shutdown_timeout(Duration::from_secs(1));
        current.get().close()?;
        outcome
    }

    async fn serve(self, current: Arc<Current>, token: Option<String>) -> Result {
        let listener = tokio::net::TcpListener::bind(self.listen)
            .await
            .map_err(|error| Failure::Failed(format!("{}: {error}", self.listen)))?;
        let listen = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let connections_max = connections::max();
        // Streams leave room for everything else.
        let clients_max = connections_max - connections_max / 6;
        let site = Arc::new(Site {
            events: Events::start(Arc::clone(&current), clients_max, stopped.clone())?,
            current,
            write: self.write,
            token,
            listen,
            hosts: self.host.iter().map(|host| host.to_ascii_lowercase()).collect(),
            prefix: self.prefix.unwrap_or_default(),
            late_s: self.late_s,
            sessions: Sessions::default(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
        });
        if site.write {
            maintain(Arc::clone(&site.current), stopped.clone());
        }
        end_by_signal(stop)?;
        // Whoever started it may not want to know.
        let _ = writeln!(std::io::stdout(), "http://{listen}{}/", site.prefix);
        connections::serve(listener, router(&site), connections_max, stopped).await;
        site.events.stop();
        Ok(())
    }
}

/// Tells everything that goes on of the first signal to end.
fn end_by_signal(stop: watch::Sender<bool>) -> Result {
    let mut signals = EndSignals::new()?;
    tokio::spawn(async move {
        signals.next().await;
        stop.send_replace(true);
    });
    Ok(())
}

/// The file's maintenance, once a minute.
fn maintain(current: Arc<Current>, mut stopped: watch::Receiver<bool>) {
    tokio::spawn(async move {
        loop {
            let current = Arc::clone(&current);
            // The next minute tries again.
            let maintain = move || current.with(crate::commands::prune::maintain);
            let _ = tokio::task::spawn_blocking(maintain).await;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(60)) => {}
                _ = stopped.wait_for(|stopped| *stopped) => return,
            }
        }
    });
}

fn router(site: &Shared) -> Router {
    let at = |path: &str| format!("{}{path}", site.prefix);
    let router = Router::new()
        .route(&at("/"), get(page::index))
        .route(&at("/app.js"), get(page::script))
        .route(&at("/app.css"), get(page::style))
        .route(&at("/icon.svg"), get(page::icon))
        .route(&at("/login"), get(page::login).post(login::log_in))
        .route(&at("/logout"), post(login::log_out))
        .route(&at("/healthz"), get(monitor::health))
        .route(&at("/metrics"), get(monitor::metrics))
        .route(&at("/api/openapi.json"), get(openapi::document))
        .route(&at("/api/overview"), get(api::overview))
        .route(&at("/api/events"), get(events::stream))
        .route(&at("/api/history"), get(api::history))
        .route(&at("/api/jobs"), get(api::jobs).post(write::enqueue))
        .route(&at("/api/jobs/{id}"), get(api::job))
        .route(&at("/api/jobs/apply"), post(write::apply))
        .route(&at("/api/values"), get(api::values))
        .route(&at("/api/dead"), get(api::dead))
        .route(&at("/api/dead/retry"), post(write::retry_group))
        .route(&at("/api/queues/settings"), post(write::settings))
        .route(&at("/api/schedules"), get(api::schedules))
        .route(&at("/api/schedules/action"), post(write::schedule))
        .route(&at("/api/streams"), get(api::streams))
        .route(&at("/api/locks"), get(api::locks));
    let router = match site.prefix.is_empty() {
        true => router,
        false => router.route(&site.prefix, get(page::to_prefix)),
    };
    router
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(Arc::clone(site), guard::guard))
        .with_state(Arc::clone(site))
}

async fn not_found() -> Refusal {
    Refusal(404, "there is nothing here".to_owned())
}

/// An answer that is an error: its status, and what is said.
pub struct Refusal(u16, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status =
            axum::http::StatusCode::from_u16(self.0).unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let status = match failure {
            Failure::Usage(_) => 400,
            Failure::NotFound(_) => 404,
            Failure::Temporary(_) | Failure::Replaced(_) => 503,
            _ => 500,
        };
        Refusal(status, failure.to_string())
    }
}

impl Site {
    /// Does something with the database, in a thread for it.
    async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        body: impl FnOnce(&Database) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, Refusal> {
        let late = || {
            let seconds = REQUEST_TIMEOUT.as_secs();
            Refusal(503, format!("not done within {seconds} s: the file is busy, or there is too much in it"))
        };
        let (reads, current) = (Arc::clone(&self.reads), Arc::clone(&self.current));
        let work = async move {
            let permit = reads.acquire_owned().await.map_err(|_| late())?;
            let done = tokio::task::spawn_blocking(move || {
                // Also while nobody waits for it any more.
                let _permit = permit;
                current.with(body)
            });
            let done = done.await;
            done.map_err(|error| Refusal(500, error.to_string()))?.map_err(Refusal::from)
        };
        tokio::time::timeout(REQUEST_TIMEOUT, work).await.map_err(|_| late())?
    }
}

fn read_token(path: &std::path::Path) -> Result<String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
    let token = text.lines().next().unwrap_or("").trim();
    if token.len() < 16 {
        return Err(Failure::Usage(format!("{}: a token has at least 16 characters", path.display())));
    }
    Ok(token.to_owned())
}

fn prefix(text: &str) -> std::result::Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
    if trimmed.is_empty()
        || (trimmed.starts_with('/') && trimmed.chars().all(is_plain) && !trimmed.contains("//"))
    {
        Ok(trimmed.to_owned())
    } else {
        Err("expected a path like /p".to_owned())
    }
}
