//! Waits as futures and streams, on the descriptor of what is waited with.
//!
//! A wait has two parts. To *look* may block for a moment, as it reads the file and, for jobs, writes to it: it is done on one of the
//! runtime's threads for that. To *rest* blocks nothing: the runtime polls a descriptor, which is readable when there may be
//! something to look at.
//!
//! Invariants:
//! - `tokio` hears of a descriptor once, when it becomes readable (it is edge-triggered). So readiness is cleared only after
//!   the waiter was asked, and had nothing to say; what comes after that question makes it readable again, and `tokio`
//!   clears only what it knew before.
//! - Nothing is lost by dropping a future: a look that has begun goes on, and the next future takes what it found. If what
//!   waits is dropped itself, a job that the look claims is given back.

use std::future::poll_fn;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

use crate::{
    ClaimWaker, Error, Job, Notification, Result, StreamEvent, StreamSubscription, Subscription,
    UpdateEvents, Waker,
};

/// What [`Async`] waits with: a [`Subscription`], a [`StreamSubscription`], [`UpdateEvents`], or a [`ClaimWaker`] with the id
/// of its worker.
///
/// ```
/// fn is_waiting<T: honker::Waiting>() {}
/// is_waiting::<honker::Subscription>();
/// is_waiting::<(honker::ClaimWaker, String)>();
/// ```
pub trait Waiting: Send + Sized + 'static {
    /// What is waited for.
    type Item: Send + 'static;

    /// What there is, without waiting.
    #[doc(hidden)]
    fn look(&mut self) -> Result<Option<Self::Item>>;

    /// What it waits with.
    #[doc(hidden)]
    fn its_waker(&self) -> Waker;

    /// Nobody takes this.
    #[doc(hidden)]
    fn undo(_: Self::Item) {}
}

impl Waiting for Subscription {
    type Item = Notification;

    fn look(&mut self) -> Result<Option<Notification>> {
        self.try_next()
    }

    fn its_waker(&self) -> Waker {
        self.waker()
    }
}

impl Waiting for StreamSubscription {
    type Item = StreamEvent;

    fn look(&mut self) -> Result<Option<StreamEvent>> {
        self.try_next()
    }

    fn its_waker(&self) -> Waker {
        self.waker()
    }
}

impl Waiting for UpdateEvents {
    type Item = ();

    fn look(&mut self) -> Result<Option<()>> {
        Ok(self.try_recv()?.then_some(()))
    }

    fn its_waker(&self) -> Waker {
        self.waker()
    }
}

impl Waiting for (ClaimWaker, String) {
    type Item = Job;

    fn look(&mut self) -> Result<Option<Job>> {
        self.0.try_next(&self.1)
    }

    fn its_waker(&self) -> Waker {
        self.0.waker()
    }

    fn undo(job: Job) {
        // Should it fail, the claim is over some time.
        let _ = job.release(0);
    }
}

/// A wait as a future ([`Async::next`]) and as a [`Stream`], in a `tokio` runtime with its I/O driver. Waiting takes no
/// thread; a look into the file is done on a thread that may block.
///
/// Futures may be dropped at any time, in `tokio::select!` for instance: nothing that was waited for is lost. It ends when
/// the database is closed: the stream with `None`, `next` with [`Error::Closed`].
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> honker::Result<()> {
/// # use honker::{EnqueueOpts, QueueOpts};
/// # let db = honker::testing::TestDatabase::new()?;
/// use futures_util::StreamExt;
///
/// let mut news = db.listen("news")?.into_async()?;
/// db.notify("news", &"hello")?;
/// assert_eq!(news.next().await?.payload_as::<String>()?, "hello");
///
/// let mut events = db.stream("orders").subscribe("mailer")?.into_async()?;
/// db.stream("orders").publish(&42)?;
/// let event = StreamExt::next(&mut events).await.unwrap()?;
/// assert_eq!(event.payload_as::<i64>()?, 42);
///
/// let q = db.queue("emails", QueueOpts::default());
/// q.enqueue(&"alice", EnqueueOpts::default())?;
/// let mut jobs = q.claim_waker()?.into_async("worker-1")?;
/// let job = jobs.next().await?;
/// assert!(job.ack()?);
/// # Ok(()) }
/// ```
pub struct Async<W: Waiting> {
    descriptor: AsyncFd<OwnedFd>,
    waker: Waker,
    state: State<W>,
    /// Nothing was there when it was looked last.
    rests: bool,
}

enum State<W: Waiting> {
    Idle(W),
    Looking(JoinHandle<Looked<W>>),
    /// A look has panicked, or the runtime has ended.
    Gone,
}

/// What a look has found; nobody may be there any more to take it.
struct Looked<W: Waiting> {
    waiting: Option<W>,
    found: Result<Option<W::Item>>,
}

impl<W: Waiting> Drop for Looked<W> {
    fn drop(&mut self) {
        if let Ok(Some(item)) = std::mem::replace(&mut self.found, Ok(None)) {
            W::undo(item);
        }
    }
}

impl<W: Waiting> Async<W> {
    /// In the present runtime. Panics, as `tokio` does, if there is none or it has no I/O driver.
    fn new(waiting: W) -> Result<Self> {
        let waker = waiting.its_waker();
        // SAFETY: the waker keeps the waiter, and it keeps the descriptor open.
        let borrowed = unsafe { BorrowedFd::borrow_raw(waker.0.descriptor()?) };
        let owned = borrowed.try_clone_to_owned().map_err(not_polled)?;
        #[allow(deprecated, reason = "its safe successor is younger than the oldest tokio that we work with")]
        let descriptor = AsyncFd::with_interest(owned, tokio::io::Interest::READABLE).map_err(not_polled)?;
        Ok(Async { descriptor, waker, state: State::Idle(waiting), rests: false })
    }

    /// The next one, waited for without a limit. Cancellation-safe.
    pub async fn next(&mut self) -> Result<W::Item> {
        poll_fn(|context| self.poll(context)).await
    }

    /// What ends its waits from elsewhere.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What waits, to use its other methods; `None` while a look that a dropped future has begun is not over.
    pub fn get_mut(&mut self) -> Option<&mut W> {
        match &mut self.state {
            State::Idle(waiting) => Some(waiting),
            State::Looking(_) | State::Gone => None,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<W::Item>> {
        loop {
            match std::mem::replace(&mut self.state, State::Gone) {
                State::Idle(waiting) if self.rests => {
                    self.state = State::Idle(waiting);
                    ready!(self.poll_rest(context))?;
                }
                State::Idle(mut waiting) => {
                    self.state = State::Looking(tokio::task::spawn_blocking(move || {
                        let found = waiting.look();
                        Looked { waiting: Some(waiting), found }
                    }));
                }
                State::Looking(mut look) => match Pin::new(&mut look).poll(context) {
                    Poll::Pending => {
                        self.state = State::Looking(look);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok(mut looked)) => {
                        if let Some(waiting) = looked.waiting.take() {
                            self.state = State::Idle(waiting);
                        }
                        match std::mem::replace(&mut looked.found, Ok(None)) {
                            Ok(Some(item)) => return Poll::Ready(Ok(item)),
                            Ok(None) => self.rests = true,
                            Err(error) => return Poll::Ready(Err(error)),
                        }
                    }
                    Poll::Ready(Err(failed)) => match failed.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => return Poll::Ready(Err(Error::Closed)),
                    },
                },
                State::Gone => return Poll::Ready(Err(Error::Closed)),
            }
        }
    }

    /// Waits until it is time for another look.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        loop {
            let mut readable = ready!(self.descriptor.poll_read_ready(context)).map_err(not_polled)?;
            let said = self.waker.0.ready(&mut [0])?;
            if said.woken {
                // There may be work as well: the next look says so.
                self.rests = said.count == 0;
                return Poll::Ready(Err(Error::Woken));
            }
            if said.count > 0 {
                self.rests = false;
                return Poll::Ready(Ok(()));
            }
            readable.clear_ready();
        }
    }
}

impl<W: Waiting + Unpin> Stream for Async<W>
where
    W::Item: Unpin,
{
    type Item = Result<W::Item>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match ready!(self.get_mut().poll(context)) {
            Err(Error::Closed) => None,
            next => Some(next),
        })
    }
}

fn not_polled(error: std::io::Error) -> Error {
    Error::System(format!("the descriptor cannot be polled: {error}").into())
}

impl<W: Waiting> std::fmt::Debug for Async<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Async").field("rests", &self.rests).finish_non_exhaustive()
    }
}

macro_rules! into_async {
    ($($type:ty),*) => {
        $(impl $type {
            /// Waits in the present `tokio` runtime. Panics if there is none, or if it has no I/O driver.
            #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
            pub fn into_async(self) -> Result<Async<Self>> {
                Async::new(self)
            }
        })*
    };
}

into_async!(Subscription, StreamSubscription, UpdateEvents);

impl ClaimWaker {
    /// Claims as this worker in the present `tokio` runtime. Panics if there is none, or if it has no I/O driver.
    #[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
    pub fn into_async(self, worker_id: impl Into<String>) -> Result<Async<(ClaimWaker, String)>> {
        Async::new((self, worker_id.into()))
    }
}
