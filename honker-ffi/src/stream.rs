//! Event streams.

use honker_core::stream::{Event, Trim};

use crate::db::honker_db_t;
use crate::entry::{entry, entry_without_status};
use crate::error::honker_error_t;
use crate::handle;
use crate::query::beyond;
use crate::queue::found;
use crate::status::{HONKER_EMPTY, HONKER_OK, honker_status_t};
use crate::target::Target;
use crate::text::{honker_bytes_t, optional_text, text};
use crate::tx::honker_tx_t;
use crate::view::{self, Sized32};

/// Events read from a stream. They do not change: any thread may read them.
pub struct honker_events_t(Vec<Event>);

/// One event. Begin with HONKER_EVENT_VIEW_INIT. The texts, without a NUL behind them, are valid until the events are
/// freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct honker_event_view_t {
    /// sizeof(honker_event_view_t).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// Its place in the stream. Offsets increase within a topic, with gaps, and begin at 1.
    pub offset: i64,
    /// The topic it was published to.
    pub topic: honker_bytes_t,
    /// The publisher's key; its data is NULL if there is none.
    pub key: honker_bytes_t,
    /// As it was published.
    pub payload: honker_bytes_t,
    /// When it was published, in Unix seconds.
    pub created_at: i64,
}

// SAFETY: integers and pointers without padding, the size first.
unsafe impl Sized32 for honker_event_view_t {}

/// Appends an event to a topic; its offset. `key` may be NULL for none; an empty key is one that is not NULL.
///
/// # Safety
/// The texts are valid for their lengths, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_stream_publish(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    topic: *const u8,
    topic_len: usize,
    key: *const u8,
    key_len: usize,
    payload: *const u8,
    payload_len: usize,
    offset_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_stream_publish", err, offset_out, |offset| {
            let target = Target::new(db, tx)?;
            let (topic, key) = (text("topic", topic, topic_len)?, optional_text("key", key, key_len)?);
            let payload = text("payload", payload, payload_len)?;
            offset.set(target.stream_publish(topic, key, payload)?);
            Ok(HONKER_OK)
        })
    }
}

/// The events of a topic after `offset`, oldest first, at most `limit` unless that is negative. HONKER_EMPTY, and
/// `events_out` NULL, if there is none; otherwise they are to be freed with `honker_events_free`.
///
/// # Safety
/// `topic` is valid for its length, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_stream_read_since(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    topic: *const u8,
    topic_len: usize,
    offset: i64,
    limit: i64,
    events_out: *mut *mut honker_events_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_stream_read_since", err, events_out, |events| {
            let target = Target::new(db, tx)?;
            let topic = text("topic", topic, topic_len)?;
            let read = target.stream_read_since(topic, offset, limit)?;
            if read.is_empty() {
                return Ok(HONKER_EMPTY);
            }
            events.set(handle::put(honker_events_t(read)));
            Ok(HONKER_OK)
        })
    }
}

/// Sets what is kept of a topic: `options_json` is a JSON object with the keys keep_s (for how many seconds an event is kept) and
/// keep_n (how many are, the newest ones). null removes one, and what is not given stays as it is. Whatever works a queue or
/// leads schedules removes the others within a minute, but none that a consumer which has saved an offset has not finished.
///
/// # Safety
/// The texts are valid for their lengths, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_stream_configure(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    topic: *const u8,
    topic_len: usize,
    options_json: *const u8,
    options_json_len: usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_stream_configure", err, (), |()| {
            let target = Target::new(db, tx)?;
            let topic = text("topic", topic, topic_len)?;
            target.stream_configure(topic, text("options_json", options_json, options_json_len)?)?;
            Ok(HONKER_OK)
        })
    }
}

/// Removes the events of a topic that are not kept any more, oldest first; how many those were. `options_json` is a JSON object
/// with the keys keep_s and keep_n, for which the topic's own hold where they are not given, and past_consumers: true removes
/// what a consumer has not finished as well. In a transaction at most 1,000 are removed: call it until it answers 0.
///
/// # Safety
/// The texts are valid for their lengths, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_stream_trim(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    topic: *const u8,
    topic_len: usize,
    options_json: *const u8,
    options_json_len: usize,
    trimmed_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_stream_trim", err, trimmed_out, |trimmed| {
            let target = Target::new(db, tx)?;
            let topic = text("topic", topic, topic_len)?;
            let options = text("options_json", options_json, options_json_len)?;
            trimmed.set(target.stream_trim(topic, &Trim::parse("options", options)?)?);
            Ok(HONKER_OK)
        })
    }
}

/// Records that `consumer` has finished everything of a topic up to `offset`. HONKER_EMPTY, and nothing changed, if it
/// was that far already: an offset never goes back.
///
/// # Safety
/// The texts are valid for their lengths, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_stream_save_offset(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    consumer: *const u8,
    consumer_len: usize,
    topic: *const u8,
    topic_len: usize,
    offset: i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_stream_save_offset", err, (), |()| {
            let target = Target::new(db, tx)?;
            let consumer = text("consumer", consumer, consumer_len)?;
            let topic = text("topic", topic, topic_len)?;
            Ok(found(target.stream_save_offset(consumer, topic, offset)?))
        })
    }
}

/// The offset that `consumer` last saved for a topic; 0 if it never did.
///
/// # Safety
/// The texts are valid for their lengths, the outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_stream_get_offset(
    db: *mut honker_db_t,
    tx: *mut honker_tx_t,
    consumer: *const u8,
    consumer_len: usize,
    topic: *const u8,
    topic_len: usize,
    offset_out: *mut i64,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the pointers.
    unsafe {
        entry("honker_stream_get_offset", err, offset_out, |offset| {
            let target = Target::new(db, tx)?;
            let consumer = text("consumer", consumer, consumer_len)?;
            let topic = text("topic", topic, topic_len)?;
            offset.set(target.stream_get_offset(consumer, topic)?);
            Ok(HONKER_OK)
        })
    }
}

/// How many events there are.
///
/// # Safety
/// The outputs are NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_events_len(
    events: *const honker_events_t,
    len_out: *mut usize,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_events_len", err, len_out, |len| {
            len.set(handle::get(events)?.0.len());
            Ok(HONKER_OK)
        })
    }
}

/// The event at `index`, counted from 0.
///
/// # Safety
/// `event_out` is NULL or valid for as many bytes as it says, `err` is NULL or valid for writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_events_get(
    events: *const honker_events_t,
    index: usize,
    event_out: *mut honker_event_view_t,
    err: *mut *mut honker_error_t,
) -> honker_status_t {
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        entry("honker_events_get", err, view::Out(event_out), |out| {
            let events = handle::get(events)?;
            let event = events.0.get(index).ok_or_else(|| beyond("event", index))?;
            out.set(view_of(event));
            Ok(HONKER_OK)
        })
    }
}

/// A view of an event, for as long as the event lives.
pub(crate) fn view_of(event: &Event) -> honker_event_view_t {
    honker_event_view_t {
        struct_size: 0,
        reserved: 0,
        offset: event.offset,
        topic: honker_bytes_t::of(&event.topic),
        key: event.key.as_ref().map_or(honker_bytes_t::NONE, honker_bytes_t::of),
        payload: honker_bytes_t::of(&event.payload),
        created_at: event.created_at,
    }
}

/// Frees events. NULL is allowed, and freeing twice does no harm.
///
/// # Safety
/// Any value may be passed; a handle is checked, not followed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn honker_events_free(events: *mut honker_events_t) {
    entry_without_status("honker_events_free", || drop(handle::take(events)));
}
