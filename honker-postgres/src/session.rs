//! One connection to a server, used by one thread at a time.
//!
//! The thread that makes a call drives the connection itself (a runtime of tokio's without threads), so that no other stands
//! between the server's answer and whoever waits for it. A call that is to end (`stop.rs`) asks the server to cancel it, by a
//! connection of its own as libpq does, and waits two seconds at most for that; then the connection is given up.
//!
//! Invariants: a connection that is broken, or that a cancel request was sent for, is not used for anybody else: the request may
//! hit what runs there next.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use honker_core::{Error, Result};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Notification, Row, Socket, Statement};

use crate::failure;
use crate::hosts;
use crate::stop::{Call, Stop};
use crate::tls::{Tls, TlsStream};
use crate::url::Endpoint;

/// How long a call that is to end waits for the server to end it.
const CANCEL_MAX: Duration = Duration::from_secs(2);

pub(crate) struct Session {
    client: Client,
    wire: Wire,
    tls: Tls,
    stop: Arc<Stop>,
    is_tainted: bool,
    /// Statements of ours that are prepared, by their text; `None` if none are.
    prepared: Option<HashMap<String, Statement>>,
    // Last: what is above may need it to be dropped.
    runtime: Apart,
}

/// A runtime, which may be dropped by a thread that is in another.
struct Apart(Option<Runtime>);

impl Apart {
    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.as_ref().expect("it is there until it is dropped").block_on(future)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// The side of a connection that reads and writes.
struct Wire {
    connection: Option<Connection<Socket, TlsStream>>,
    notifications: VecDeque<Notification>,
}

impl Wire {
    /// Moves messages as far as they go.
    fn drive(&mut self, cx: &mut Context<'_>) {
        while let Some(connection) = &mut self.connection {
            match connection.poll_message(cx) {
                Poll::Ready(Some(Ok(AsyncMessage::Notification(notification)))) => {
                    self.notifications.push_back(notification);
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => self.connection = None,
                Poll::Pending => return,
            }
        }
    }
}

impl Session {
    /// Connects. What ends that early is `call`, which has to belong to `stop`.
    pub(crate) fn connect(endpoint: &Endpoint, name: &str, stop: &Arc<Stop>, call: &Call) -> Result<Session> {
        apart(|| Session::connect_here(endpoint, name, stop, call))
    }

    fn connect_here(endpoint: &Endpoint, name: &str, stop: &Arc<Stop>, call: &Call) -> Result<Session> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::System(format!("a connection cannot be made: {error}").into()))?;
        let connected = runtime.block_on(async {
            tokio::select! {
                connected = hosts::connect(endpoint, name) => connected,
                reason = ended(stop, call) => Err(reason),
            }
        });
        let (client, connection) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                // A name that is being looked up is looked up by a thread, which nobody waits for.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let wire = Wire { connection: Some(connection), notifications: VecDeque::new() };
        Ok(Session {
            client,
            wire,
            tls: endpoint.tls.clone(),
            stop: Arc::clone(stop),
            is_tainted: false,
            prepared: endpoint.prepares.then(HashMap::new),
            runtime: Apart(Some(runtime)),
        })
    }

    /// Whether it can be used again, as far as can be told without asking the server.
    pub(crate) fn is_usable(&mut self) -> bool {
        if self.is_tainted {
            return false;
        }
        let Session { wire, runtime, .. } = self;
        apart(|| {
            runtime.block_on(async {
                // Only between two turns does the runtime ask the system what has come.
                tokio::task::yield_now().await;
                poll_fn(|cx| {
                    wire.drive(cx);
                    Poll::Ready(())
                })
                .await;
            })
        });
        self.is_whole()
    }

    /// The same, as far as is known already.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is_tainted && self.wire.connection.is_some() && !self.client.is_closed()
    }

    pub(crate) fn stop(&self) -> &Arc<Stop> {
        &self.stop
    }

    /// Not to be used by anybody else.
    pub(crate) fn taint(&mut self) {
        self.is_tainted = true;
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        self.wire.connection.as_ref()?.parameter(name).map(str::to_owned)
    }

    /// Runs requests to the server, until they are answered or `call` is to end.
    pub(crate) fn run<T: Send>(
        &mut self,
        call: &Call,
        requests: impl AsyncFnOnce(&Client) -> std::result::Result<T, tokio_postgres::Error> + Send,
    ) -> Result<T> {
        call.check()?;
        let Session { client, wire, tls, stop, runtime, .. } = self;
        let (answer, was_cancelled) = apart(|| {
            runtime.block_on(async {
                let mut requests = pin!(requests(client));
                let mut end = pin!(ended(stop, call));
                let mut cancel: Option<Pin<Box<dyn Future<Output = ()>>>> = None;
                let mut reason = None;
                poll_fn(|cx| {
                    if let Poll::Ready(answer) = requests.as_mut().poll(cx) {
                        return Poll::Ready((answer.map_err(|error| failure::of(&error)), reason.take()));
                    }
                    wire.drive(cx);
                    if reason.is_none()
                        && let Poll::Ready(why) = end.as_mut().poll(cx)
                    {
                        reason = Some(why);
                        let (token, tls) = (client.cancel_token(), tls.clone());
                        cancel = Some(Box::pin(async move {
                            // Whether it was heard shows in what becomes of the requests.
                            let asked = timeout(CANCEL_MAX, token.cancel_query(tls));
                            let _ = tokio::join!(asked, sleep(CANCEL_MAX));
                        }));
                    }
                    if let Some(cancel) = &mut cancel
                        && cancel.as_mut().poll(cx).is_ready()
                    {
                        let why = reason.take().unwrap_or(Error::Closed);
                        return Poll::Ready((Err(why.clone()), Some(why)));
                    }
                    Poll::Pending
                })
                .await
            })
        });
        let Some(why) = was_cancelled else {
            if answer.as_ref().is_err_and(failure::is_lost) {
                self.is_tainted = true;
            }
            return answer;
        };
        self.is_tainted = true;
        match answer {
            // The server was faster: what it has done is done.
            Ok(answer) => Ok(answer),
            Err(Error::Interrupted(_)) => Err(why),
            Err(error) => Err(error),
        }
    }

    /// A call of a function, which is ready to be sent: where statements may have names, it is prepared when it comes first.
    pub(crate) fn prepare<'a>(
        &mut self,
        call: &Call,
        sql: &'a str,
        parameters: &'a [(&'a (dyn ToSql + Sync), Type)],
    ) -> Result<Prepared<'a>> {
        let Some(prepared) = &self.prepared else { return Ok(Prepared { sql, parameters, statement: None }) };
        if let Some(statement) = prepared.get(sql) {
            return Ok(Prepared { sql, parameters, statement: Some(statement.clone()) });
        }
        let types: Vec<Type> = parameters.iter().map(|(_, type_)| type_.clone()).collect();
        let statement = self.run(call, async |client: &Client| client.prepare_typed(sql, &types).await)?;
        self.prepared.as_mut().map(|prepared| prepared.insert(sql.to_owned(), statement.clone()));
        Ok(Prepared { sql, parameters, statement: Some(statement) })
    }

    /// Whether there is nothing to prepare for this statement.
    pub(crate) fn is_ready(&self, sql: &str) -> bool {
        self.prepared.as_ref().is_none_or(|prepared| prepared.contains_key(sql))
    }

    /// Statements that are prepared are not known to the server any more, or mean something else: they are prepared again.
    pub(crate) fn forget_prepared(&mut self) {
        self.prepared.as_mut().map(HashMap::clear);
    }

    /// Drops what SQL of the caller's may have left on the connection; should that fail, it is not used again.
    pub(crate) fn tidy(&mut self, call: &Call) {
        // Each by itself: together they would be a transaction, in which some are not allowed.
        let tidied = self.run(&call.uninterrupted(), async |client: &Client| {
            let (reset, temporary, locks) = tokio::join!(
                biased;
                client.batch_execute("SET SESSION AUTHORIZATION DEFAULT; RESET ALL"),
                client.batch_execute("DISCARD TEMP"),
                client.batch_execute("CLOSE ALL; SELECT pg_catalog.pg_advisory_unlock_all(); UNLISTEN *"),
            );
            reset.and(temporary).and(locks)
        });
        if tidied.is_err() {
            self.taint();
        }
    }

    /// Waits for a notification, until it is woken or the time is over. An error if the connection is lost.
    pub(crate) fn wait(&mut self, until: Instant, woken: &Notify) -> Result<()> {
        let Session { wire, runtime, .. } = self;
        runtime.block_on(async {
            let mut woken = pin!(woken.notified());
            let mut over = pin!(sleep_until(until.into()));
            poll_fn(|cx| {
                wire.drive(cx);
                let is_over = !wire.notifications.is_empty()
                    || wire.connection.is_none()
                    || woken.as_mut().poll(cx).is_ready()
                    || over.as_mut().poll(cx).is_ready();
                if is_over { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        });
        if self.wire.connection.is_none() {
            self.is_tainted = true;
            return Err(Error::Connection("the connection to the server is lost".into()));
        }
        Ok(())
    }

    /// What has been notified since it was last asked.
    pub(crate) fn take_notifications(&mut self) -> Vec<Notification> {
        std::mem::take(&mut self.wire.notifications).into()
    }
}

/// See [`Session::prepare`].
pub(crate) struct Prepared<'a> {
    sql: &'a str,
    parameters: &'a [(&'a (dyn ToSql + Sync), Type)],
    statement: Option<Statement>,
}

impl Prepared<'_> {
    pub(crate) async fn query(
        &self,
        client: &Client,
    ) -> std::result::Result<Vec<Row>, tokio_postgres::Error> {
        match &self.statement {
            Some(statement) => {
                let parameters: Vec<_> = self.parameters.iter().map(|(value, _)| *value).collect();
                client.query(statement, &parameters).await
            }
            None => client.query_typed(self.sql, self.parameters).await,
        }
    }

    /// Whether a failure is that of a statement that was prepared: it is unknown, or what it answers has changed. Nothing was done.
    pub(crate) fn is_stale(&self, error: &tokio_postgres::Error) -> bool {
        self.statement.is_some()
            && matches!(
                error.code(),
                Some(&SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::FEATURE_NOT_SUPPORTED)
            )
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_tainted {
            return;
        }
        // So that the server need not find out: it is told that nobody is there any more.
        let Session { client, wire, runtime, .. } = self;
        client.__private_api_close();
        apart(|| {
            runtime.block_on(async {
                let gone = poll_fn(|cx| {
                    wire.drive(cx);
                    if wire.connection.is_none() { Poll::Ready(()) } else { Poll::Pending }
                });
                let _ = timeout(Duration::from_millis(100), gone).await;
            });
        });
    }
}

/// Runs what drives a runtime. A thread that is in one already, as those are that poll futures, may not drive another: then a
/// thread of its own does.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if tokio::runtime::Handle::try_current().is_err() {
        return work();
    }
    let done = std::thread::scope(|scope| scope.spawn(work).join());
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Returns why a call is to end, when it is.
async fn ended(stop: &Stop, call: &Call) -> Error {
    loop {
        if let Err(reason) = call.check() {
            return reason;
        }
        match call.deadline {
            Some(deadline) => {
                let _ = timeout_at(deadline.into(), stop.look.notified()).await;
            }
            None => stop.look.notified().await,
        }
    }
}

/// A thread that has nothing to wait with but this.
pub(crate) fn pause(woken: &Notify, time: Duration) {
    if let Ok(runtime) = Builder::new_current_thread().enable_time().build() {
        runtime.block_on(async {
            let _ = timeout(time, woken.notified()).await;
        });
    } else {
        std::thread::sleep(time);
    }
}
