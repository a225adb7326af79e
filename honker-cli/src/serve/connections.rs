//! The connections: how many there are, and how long a client may take its time.
//!
//! - There are at most [`max`] of them; whoever comes then waits until one has ended, in the system's queue.
//! - The head of a request has to come within [`HEAD_TIMEOUT`], also that of the next one on the same connection. For its body see `guard.rs`.
//! - On Linux a client that takes nothing of what it is sent for [`STALL_TIMEOUT`] loses its connection.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::system::descriptors;

/// So many connections, if there are descriptors for them.
const MAX: u64 = 1_200;

/// So many descriptors are left for the file and everything else.
const OTHER_DESCRIPTORS: u64 = 64;

/// See the module documentation.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
#[cfg(target_os = "linux")]
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest head of a request.
const HEAD_MAX: usize = 64 * 1024;

/// After an error that is not of one connection, such as a lack of descriptors.
const PAUSE: Duration = Duration::from_millis(200);

/// How long connections may take to end after the signal.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How many connections there may be. As many descriptors as this process may have are asked for before.
pub fn max() -> usize {
    let limit = descriptors(MAX + OTHER_DESCRIPTORS);
    let left = limit.map_or(MAX, |limit| limit.saturating_sub(OTHER_DESCRIPTORS));
    usize::try_from(left.clamp(8, MAX)).unwrap_or(8)
}

/// Answers until the signal; the connections have a while to end then.
pub async fn serve(listener: TcpListener, router: Router, max: usize, mut stopped: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(max));
    let graceful = GracefulShutdown::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_MAX);
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, stream) = tokio::select! {
            next = next => next,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let Ok((stream, _)) = stream else {
            // A connection that has ended already, or no descriptors.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        prepare(&stream);
        let service = TowerToHyperService::new(router.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            let _slot = slot;
            // What is wrong with a connection is its client's affair.
            let _ = connection.await;
        });
    }
    drop(listener);
    // Who does not end in time is left.
    let _ = tokio::time::timeout(END_TIMEOUT, graceful.shutdown()).await;
}

fn prepare(stream: &TcpStream) {
    // Without these it works as well.
    let _ = stream.set_nodelay(true);
    #[cfg(target_os = "linux")]
    {
        let _ = rustix::net::sockopt::set_tcp_user_timeout(stream, STALL_TIMEOUT.as_millis() as u32);
    }
}
