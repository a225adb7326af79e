//! Listeners.

use honker_core::consume::Listener;
use honker_core::notify::Notification;

use crate::consumer::{Consumer, outcome};
use crate::db::honker_db_t;
use crate::entry::{entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::status::{HONKER_OK, honker_status_t};
use crate::text::{honker_bytes_t, text};
use crate::view::{self, Sized32};
use crate::waiter::{honker_waiter_t, timeout};
use crate::worker::fallback;

/// Delivers the notifications of one channel, from when it was made on, in order. One thread uses it at a time.
pub struct honker_listener_t(Consumer<Listening>);

struct Listening {
    listener: Listener,
    /// What the caller has a view of.
    lent: Option<Notification>,
}

/// One notification. Begin with HONKER_NOTIFICATION_VIEW_INIT. The texts, without a NUL behind them, are valid until the
/// next call with the listener.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_notification_view_t {
    /// sizeof(honker_notification_view_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Increases from one to the next, over all channels.
    pub id: i64,
    /// Where it was sent.
    pub channel: honker_bytes_t,
    /// As it was sent.
    pub payload: honker_bytes_t,
    /// When it was sent, in Unix seconds.
    pub created_at: i64,
}

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_notification_view_t {}

/// Makes a listener for what is sent to a channel after this returned; it waits with `waiter`, which names it by `token`, and looks every
/// `fallback_ms` without having been woken (-1: never; 15000 is a good choice). To be freed with `honker_listener_free`.
///
/// # Safety
/// `channel` is valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_listener_new(
    db: *mut honker_db_t,
    waiter: *mut honker_waiter_t,
    token: u64,
    channel: *const u8,
    channel_len: usize,
    fallback_ms: i64,
    listener_out: *mut *mut honker_listener_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_listener_new", err, listener_out, |out| {
            let waiter = honker_waiter_t::of(db, waiter)?;
            let channel = text("channel", channel, channel_len)?;
            let listener = Listener::on(waiter.waiter(), token, channel, fallback(fallback_ms)?)?;
            out.set(handle::put(honker_listener_t(Consumer::new(
                Listening { listener, lent: None },
                waiter,
            ))));
            Ok(HONKER_OK)
        })
    }
}

/// The next notification; waits for it at most for `timeout_ms` (-1: without end; 0: not at all). Otherwise as for
/// `honker_wait`: HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED.
///
/// # Safety
/// `notification_out` is NULL or valid for as many bytes as it says, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_listener_next(
    listener: *mut honker_listener_t,
    timeout_ms: i64,
    notification_out: *mut honker_notification_view_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_listener_next", err, view::Out(notification_out), |out| {
            let timeout = timeout(timeout_ms)?;
            handle::get(listener)?.0.with(|listening| {
                let lent = &mut listening.lent;
                outcome(listening.listener.next(timeout), |notification| {
                    let notification = lent.insert(notification);
                    out.set(honker_notification_view_t {
                        struct_size: 0,
                        reserved: 0,
                        id: notification.id,
                        channel: honker_bytes_t::of(&notification.channel),
                        payload: honker_bytes_t::of(&notification.payload),
                        created_at: notification.created_at,
                    });
                })
            })
        })
    }
}

/// Frees a listener. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_listener_free(listener: *mut honker_listener_t) {
    entry_without_status("honker_listener_free", || drop(handle::take(listener)));
}
