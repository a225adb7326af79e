//! Subscriptions to streams.

use std::time::Duration;

use honker_core::consume::{StreamOptions, StreamSubscription};
use honker_core::stream::Event;

use crate::consumer::{Consumer, outcome};
use crate::db::honker_db_t;
use crate::entry::{Failure, Result, entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::queue::{HONKER_NO_TIME, time};
use crate::status::{HONKER_INVALID, HONKER_OK, honker_status_t};
use crate::stream::{honker_event_view_t, view_of};
use crate::text::{honker_bytes_t, optional_text, text};
use crate::view::{self, Sized32};
use crate::waiter::{honker_waiter_t, timeout};

/// Delivers the events of one topic in order, and keeps how far its consumer has come. One thread uses it at a time.
///
/// An event is finished when the next one is asked for, or with `honker_subscription_ack`. Only finished events are saved:
/// a consumer that dies in the middle of one sees it again.
pub struct honker_subscription_t(Consumer<Subscribing>);

struct Subscribing {
    subscription: StreamSubscription,
    /// What the caller has a view of.
    lent: Option<Event>,
}

/// How a subscription reads and saves. Begin with HONKER_SUBSCRIPTION_OPTS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_subscription_opts_t {
    /// sizeof(honker_subscription_opts_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Whose offset is read and saved; data NULL (the default) saves nothing.
    pub consumer: honker_bytes_t,
    /// Where to begin: after this offset. Default HONKER_NO_TIME: after the consumer's saved offset, or from the beginning.
    pub from_offset: i64,
    /// After how many finished events the offset is saved. Default 1000; 0: never because of a number.
    pub save_every_n: i64,
    /// After what time the offset is saved, if there is something to save. Default 1000; 0: never because of the time.
    pub save_every_ms: i64,
}

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_subscription_opts_t {}

const DEFAULTS: honker_subscription_opts_t = honker_subscription_opts_t {
    struct_size: size_of::<honker_subscription_opts_t>() as u32,
    reserved: 0,
    consumer: honker_bytes_t::NONE,
    from_offset: HONKER_NO_TIME,
    save_every_n: 1000,
    save_every_ms: 1000,
};

/// Makes a subscription to a topic that waits with `waiter`, which names it by `token`. `opts` may be NULL for the defaults.
/// To be freed with `honker_subscription_free`.
///
/// # Safety
/// `topic` is valid for its length, `opts` is NULL or valid for as many bytes as it says, the outputs are NULL or valid
/// for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_subscription_new(
    db: *mut honker_db_t,
    waiter: *mut honker_waiter_t,
    token: u64,
    topic: *const u8,
    topic_len: usize,
    opts: *const honker_subscription_opts_t,
    subscription_out: *mut *mut honker_subscription_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_subscription_new", err, subscription_out, |out| {
            let waiter = honker_waiter_t::of(db, waiter)?;
            let topic = text("topic", topic, topic_len)?;
            let options = options(&view::read("opts", opts, DEFAULTS)?)?;
            let subscription = StreamSubscription::on(waiter.waiter(), token, topic, options)?;
            let subscribing = Subscribing { subscription, lent: None };
            out.set(handle::put(honker_subscription_t(Consumer::new(subscribing, waiter))));
            Ok(HONKER_OK)
        })
    }
}

/// # Safety
/// `opts` is valid for what it points to.
unsafe fn options(opts: &honker_subscription_opts_t) -> Result<StreamOptions> {
    let natural = |name: &str, value: i64| {
        u64::try_from(value)
            .map_err(|_| Failure::new(HONKER_INVALID, format!("opts: {name} is negative: {value}")))
    };
    // SAFETY: the caller vouches for it.
    let consumer = unsafe { optional_text("consumer", opts.consumer.data, opts.consumer.len) }?;
    Ok(StreamOptions {
        consumer: consumer.map(str::to_owned),
        from_offset: time(opts.from_offset),
        save_every_n: natural("save_every_n", opts.save_every_n)?,
        save_every: Duration::from_millis(natural("save_every_ms", opts.save_every_ms)?),
    })
}

/// The next event, which finishes the one before; waits for it at most for `timeout_ms` (-1: without end; 0: not at all).
/// The texts of the view are valid until the next call with the subscription. Otherwise as for `honker_wait`:
/// HONKER_TIMEOUT, HONKER_WOKEN or HONKER_CLOSED.
///
/// While the offset is to be saved and cannot be, that is the error, and no further event is delivered. An error that
/// follows another comes after half a second, or `timeout_ms` if that is shorter.
///
/// # Safety
/// `event_out` is NULL or valid for as many bytes as it says, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_subscription_next(
    subscription: *mut honker_subscription_t,
    timeout_ms: i64,
    event_out: *mut honker_event_view_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_subscription_next", err, view::Out(event_out), |out| {
            let timeout = timeout(timeout_ms)?;
            handle::get(subscription)?.0.with(|subscribing| {
                let lent = &mut subscribing.lent;
                outcome(subscribing.subscription.next(timeout), |event| out.set(view_of(lent.insert(event))))
            })
        })
    }
}

/// The event in hand is finished.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_subscription_ack(
    subscription: *mut honker_subscription_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_subscription_ack", err, (), |()| {
            handle::get(subscription)?.0.with(|subscribing| Ok(subscribing.subscription.ack()?))?;
            Ok(HONKER_OK)
        })
    }
}

/// Saves the offset of the last finished event now, if there is something to save.
///
/// # Safety
/// `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_subscription_save(
    subscription: *mut honker_subscription_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for `err`.
    unsafe {
        entry("honker_subscription_save", err, (), |()| {
            handle::get(subscription)?.0.with(|subscribing| Ok(subscribing.subscription.save()?))?;
            Ok(HONKER_OK)
        })
    }
}

/// The offset of the last event that was delivered; where the subscription began if there was none.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_subscription_offset(
    subscription: *mut honker_subscription_t,
    offset_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_subscription_offset", err, offset_out, |offset| {
            let at =
                handle::get(subscription)?.0.with(|subscribing| Ok(subscribing.subscription.offset()))?;
            offset.set(at);
            Ok(HONKER_OK)
        })
    }
}

/// Frees a subscription, saving the offset of the last finished event unless both `save_every_n` and `save_every_ms` are 0;
/// call `honker_subscription_save` before to know whether that worked. Waits for a lock for 100 ms at most: it may be called
/// by finalizers. After `honker_close` there is nothing left to save. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_subscription_free(subscription: *mut honker_subscription_t) {
    entry_without_status("honker_subscription_free", || drop(handle::take(subscription)));
}
