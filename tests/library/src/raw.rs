//! include/honker.h, in Rust: the types of the C ABI and its functions, in the header's order.
//!
//! Written down by hand rather than taken from honker-ffi, so that a program sees the border as another language does:
//! the built library, found at run time, with nothing shared but the header. Every function is looked up when the library
//! is loaded; one that is missing fails the load.

#![allow(missing_docs, reason = "the header describes them")]

use std::ffi::c_char;

pub type Status = i32;

pub enum Db {}
pub enum Tx {}
pub enum Error {}
pub enum Jobs {}
pub enum Rows {}
pub enum Events {}
pub enum Fires {}
pub enum Text {}
pub enum Waiter {}
pub enum Worker {}
pub enum Listener {}
pub enum Subscription {}
pub enum Leader {}

pub const NO_TIME: i64 = i64::MAX;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct OpenOptions {
    pub struct_size: u32,
    pub reserved: u32,
    pub busy_timeout_ms: i64,
    pub readers_max: u32,
    pub durability: u32,
    pub journal_mode: u32,
    pub wal_autocheckpoint_pages: u32,
    pub nesting: u32,
    pub reserved_2: u32,
    pub watcher_backend: Bytes,
    pub watcher_poll_interval_ms: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Bytes {
    pub data: *const u8,
    pub len: usize,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Value {
    pub value_type: u32,
    pub reserved: u32,
    pub integer: i64,
    pub real: f64,
    pub bytes: Bytes,
}

pub const TYPE_NULL: u32 = 0;
pub const TYPE_INTEGER: u32 = 1;
pub const TYPE_TEXT: u32 = 3;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct EnqueueOptions {
    pub struct_size: u32,
    pub reserved: u32,
    pub run_at: i64,
    pub delay_s: i64,
    pub expires_s: i64,
    pub priority: i64,
    pub max_attempts: i64,
    pub metadata: Bytes,
    pub concurrency_key: Bytes,
    pub batch_id: i64,
    pub member_job_id: i64,
    pub member_worker_id: Bytes,
    pub unique_key: Bytes,
    pub unique_until: u32,
    pub on_conflict: u32,
    pub unique_for_s: i64,
    pub max_run_s: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct JobSpec {
    pub struct_size: u32,
    pub reserved: u32,
    pub queue: Bytes,
    pub payload: Bytes,
    pub opts: *const EnqueueOptions,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct EnqueueResult {
    pub id: i64,
    pub status: Status,
    pub reserved: u32,
}

#[repr(C)]
pub struct JobView {
    pub struct_size: u32,
    pub reserved: u32,
    pub id: i64,
    pub queue: Bytes,
    pub payload: Bytes,
    pub worker_id: Bytes,
    pub attempts: i64,
    pub claim_expires_at: i64,
    pub serial: i64,
    pub max_attempts: i64,
    pub metadata: Bytes,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct LostJobView {
    pub struct_size: u32,
    pub reserved: u32,
    pub id: i64,
    pub serial: i64,
    pub reason: u32,
    pub reserved_2: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct WorkerQueue {
    pub struct_size: u32,
    pub reserved: u32,
    pub name: Bytes,
    pub weight: i64,
    pub in_hand_max: i64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct WorkerOptions {
    pub struct_size: u32,
    pub reserved: u32,
    pub visibility_timeout_s: i64,
    pub fallback_ms: i64,
    pub max_run_s: i64,
    pub retry_base_s: i64,
    pub retry_max_s: i64,
    pub retry_factor: f64,
    pub retry_jitter: f64,
    pub heartbeat: u32,
    pub rescue: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Settlement {
    pub kind: u32,
    pub status: Status,
    pub id: i64,
    pub serial: i64,
    pub delay_s: i64,
    pub error: Bytes,
}

#[repr(C)]
pub struct NotificationView {
    pub struct_size: u32,
    pub reserved: u32,
    pub id: i64,
    pub channel: Bytes,
    pub payload: Bytes,
    pub created_at: i64,
}

#[repr(C)]
pub struct SubscriptionOptions {
    pub struct_size: u32,
    pub reserved: u32,
    pub consumer: Bytes,
    pub from_offset: i64,
    pub save_every_n: i64,
    pub save_every_ms: i64,
}

#[repr(C)]
pub struct EventView {
    pub struct_size: u32,
    pub reserved: u32,
    pub offset: i64,
    pub topic: Bytes,
    pub key: Bytes,
    pub payload: Bytes,
    pub created_at: i64,
}

#[repr(C)]
pub struct ScheduleOptions {
    pub struct_size: u32,
    pub reserved: u32,
    pub priority: i64,
    pub expires_s: i64,
    pub max_attempts: i64,
    pub job: *const EnqueueOptions,
    pub overlap: u32,
    pub reserved_2: u32,
}

pub const UPDATE_PAYLOAD: u64 = 2;
pub const UPDATE_PRIORITY: u64 = 4;

#[repr(C)]
pub struct ScheduleUpdate {
    pub struct_size: u32,
    pub reserved: u32,
    pub fields: u64,
    pub expression: Bytes,
    pub payload: Bytes,
    pub priority: i64,
    pub expires_s: i64,
    pub max_attempts: i64,
}

#[repr(C)]
pub struct FireView {
    pub struct_size: u32,
    pub reserved: u32,
    pub name: Bytes,
    pub queue: Bytes,
    pub fire_at: i64,
    pub job_id: i64,
    pub status: Status,
    pub reserved_2: u32,
}

macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $answer:ty)?;)*) => {
        /// The functions of the library, each found by its name.
        pub struct Functions {
            $(pub $name: unsafe extern "C" fn($($argument: $type),*) $(-> $answer)?,)*
        }

        impl Functions {
            /// Finds them all.
            ///
            /// # Safety
            ///
            /// The library has the functions of include/honker.h, and stays loaded.
            pub(crate) unsafe fn find(library: &libloading::Library) -> Result<Self, libloading::Error> {
                Ok(Functions {
                    // SAFETY: the types are those of the header, which the caller answers for.
                    $($name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes()) }?,)*
                })
            }
        }
    };
}

functions! {
    fn honker_status_name(status: Status) -> *const c_char;
    fn honker_abi_version() -> u32;
    fn honker_version() -> *const c_char;
    fn honker_build_info() -> *const c_char;
    fn honker_error_status(error: *const Error) -> Status;
    fn honker_error_name(error: *const Error) -> *const c_char;
    fn honker_error_message(error: *const Error, len_out: *mut usize) -> *const c_char;
    fn honker_error_sqlite_code(error: *const Error) -> i32;
    fn honker_error_sqlite_extended_code(error: *const Error) -> i32;
    fn honker_error_free(error: *mut Error);
    fn honker_text_get(text: *const Text, data_out: *mut *const u8, len_out: *mut usize, err: *mut *mut Error) -> Status;
    fn honker_text_free(text: *mut Text);
    fn honker_open(path: *const u8, path_len: usize, opts: *const OpenOptions, db_out: *mut *mut Db, err: *mut *mut Error) -> Status;
    fn honker_close(db: *mut Db, err: *mut *mut Error) -> Status;
    fn honker_interrupt(db: *mut Db, err: *mut *mut Error) -> Status;
    fn honker_tx_begin(db: *mut Db, tx_out: *mut *mut Tx, err: *mut *mut Error) -> Status;
    fn honker_tx_commit(tx: *mut Tx, err: *mut *mut Error) -> Status;
    fn honker_tx_rollback(tx: *mut Tx, err: *mut *mut Error) -> Status;
    fn honker_tx_free(tx: *mut Tx);
    fn honker_tx_execute(tx: *mut Tx, sql: *const u8, sql_len: usize, params: *const Value, params_len: usize, changes_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_tx_query(tx: *mut Tx, sql: *const u8, sql_len: usize, params: *const Value, params_len: usize, rows_out: *mut *mut Rows, err: *mut *mut Error) -> Status;
    fn honker_query(db: *mut Db, sql: *const u8, sql_len: usize, params: *const Value, params_len: usize, rows_out: *mut *mut Rows, err: *mut *mut Error) -> Status;
    fn honker_rows_size(rows: *const Rows, rows_out: *mut usize, columns_out: *mut usize, err: *mut *mut Error) -> Status;
    fn honker_rows_column(rows: *const Rows, column: usize, name_out: *mut *const u8, len_out: *mut usize, err: *mut *mut Error) -> Status;
    fn honker_rows_get(rows: *const Rows, row: usize, column: usize, value_out: *mut Value, err: *mut *mut Error) -> Status;
    fn honker_rows_free(rows: *mut Rows);
    fn honker_enqueue(db: *mut Db, tx: *mut Tx, queue: *const u8, queue_len: usize, payload: *const u8, payload_len: usize, opts: *const EnqueueOptions, id_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_enqueue_many(db: *mut Db, tx: *mut Tx, specs: *const JobSpec, specs_len: usize, results_out: *mut EnqueueResult, err: *mut *mut Error) -> Status;
    fn honker_ack(db: *mut Db, tx: *mut Tx, id: i64, worker_id: *const u8, worker_id_len: usize, err: *mut *mut Error) -> Status;
    fn honker_ack_batch(db: *mut Db, tx: *mut Tx, ids: *const i64, ids_len: usize, worker_id: *const u8, worker_id_len: usize, acked_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_retry(db: *mut Db, tx: *mut Tx, id: i64, worker_id: *const u8, worker_id_len: usize, delay_s: i64, error: *const u8, error_len: usize, err: *mut *mut Error) -> Status;
    fn honker_fail(db: *mut Db, tx: *mut Tx, id: i64, worker_id: *const u8, worker_id_len: usize, error: *const u8, error_len: usize, err: *mut *mut Error) -> Status;
    fn honker_heartbeat(db: *mut Db, tx: *mut Tx, id: i64, worker_id: *const u8, worker_id_len: usize, extend_s: i64, err: *mut *mut Error) -> Status;
    fn honker_cancel(db: *mut Db, tx: *mut Tx, id: i64, err: *mut *mut Error) -> Status;
    fn honker_sweep_expired(db: *mut Db, tx: *mut Tx, queue: *const u8, queue_len: usize, swept_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_queue_next_claim_at(db: *mut Db, tx: *mut Tx, queue: *const u8, queue_len: usize, at_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_get_job(db: *mut Db, tx: *mut Tx, id: i64, json_out: *mut *mut Text, err: *mut *mut Error) -> Status;
    fn honker_queue_stats(db: *mut Db, tx: *mut Tx, queue: *const u8, queue_len: usize, json_out: *mut *mut Text, err: *mut *mut Error) -> Status;
    fn honker_claim(db: *mut Db, tx: *mut Tx, queue: *const u8, queue_len: usize, worker_id: *const u8, worker_id_len: usize, n: i64, timeout_s: i64, jobs_out: *mut *mut Jobs, err: *mut *mut Error) -> Status;
    fn honker_jobs_len(jobs: *const Jobs, len_out: *mut usize, err: *mut *mut Error) -> Status;
    fn honker_jobs_get(jobs: *const Jobs, index: usize, job_out: *mut JobView, err: *mut *mut Error) -> Status;
    fn honker_jobs_free(jobs: *mut Jobs);
    fn honker_dead_list(db: *mut Db, tx: *mut Tx, queue: *const u8, queue_len: usize, limit: i64, json_out: *mut *mut Text, err: *mut *mut Error) -> Status;
    fn honker_dead_requeue(db: *mut Db, tx: *mut Tx, id: i64, err: *mut *mut Error) -> Status;
    fn honker_dead_purge(db: *mut Db, tx: *mut Tx, queue: *const u8, queue_len: usize, older_than_s: i64, purged_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_notify(db: *mut Db, tx: *mut Tx, channel: *const u8, channel_len: usize, payload: *const u8, payload_len: usize, id_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_notifications_prune(db: *mut Db, tx: *mut Tx, older_than_s: i64, max_keep: i64, pruned_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_stream_publish(db: *mut Db, tx: *mut Tx, topic: *const u8, topic_len: usize, key: *const u8, key_len: usize, payload: *const u8, payload_len: usize, offset_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_stream_read_since(db: *mut Db, tx: *mut Tx, topic: *const u8, topic_len: usize, offset: i64, limit: i64, events_out: *mut *mut Events, err: *mut *mut Error) -> Status;
    fn honker_stream_save_offset(db: *mut Db, tx: *mut Tx, consumer: *const u8, consumer_len: usize, topic: *const u8, topic_len: usize, offset: i64, err: *mut *mut Error) -> Status;
    fn honker_stream_get_offset(db: *mut Db, tx: *mut Tx, consumer: *const u8, consumer_len: usize, topic: *const u8, topic_len: usize, offset_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_events_len(events: *const Events, len_out: *mut usize, err: *mut *mut Error) -> Status;
    fn honker_events_get(events: *const Events, index: usize, event_out: *mut EventView, err: *mut *mut Error) -> Status;
    fn honker_events_free(events: *mut Events);
    fn honker_result_save(db: *mut Db, tx: *mut Tx, job_id: i64, value: *const u8, value_len: usize, ttl_s: i64, err: *mut *mut Error) -> Status;
    fn honker_result_get(db: *mut Db, tx: *mut Tx, job_id: i64, value_out: *mut *mut Text, err: *mut *mut Error) -> Status;
    fn honker_result_sweep(db: *mut Db, tx: *mut Tx, swept_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_lock_acquire(db: *mut Db, tx: *mut Tx, name: *const u8, name_len: usize, owner: *const u8, owner_len: usize, ttl_s: i64, err: *mut *mut Error) -> Status;
    fn honker_lock_renew(db: *mut Db, tx: *mut Tx, name: *const u8, name_len: usize, owner: *const u8, owner_len: usize, ttl_s: i64, err: *mut *mut Error) -> Status;
    fn honker_lock_release(db: *mut Db, tx: *mut Tx, name: *const u8, name_len: usize, owner: *const u8, owner_len: usize, err: *mut *mut Error) -> Status;
    fn honker_rate_limit_try(db: *mut Db, tx: *mut Tx, name: *const u8, name_len: usize, limit: i64, per_s: i64, err: *mut *mut Error) -> Status;
    fn honker_rate_limit_sweep(db: *mut Db, tx: *mut Tx, older_than_s: i64, swept_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_scheduler_register(db: *mut Db, tx: *mut Tx, name: *const u8, name_len: usize, queue: *const u8, queue_len: usize, expression: *const u8, expression_len: usize, payload: *const u8, payload_len: usize, opts: *const ScheduleOptions, err: *mut *mut Error) -> Status;
    fn honker_scheduler_unregister(db: *mut Db, tx: *mut Tx, name: *const u8, name_len: usize, err: *mut *mut Error) -> Status;
    fn honker_scheduler_update(db: *mut Db, tx: *mut Tx, name: *const u8, name_len: usize, changes: *const ScheduleUpdate, err: *mut *mut Error) -> Status;
    fn honker_scheduler_pause(db: *mut Db, tx: *mut Tx, name: *const u8, name_len: usize, err: *mut *mut Error) -> Status;
    fn honker_scheduler_resume(db: *mut Db, tx: *mut Tx, name: *const u8, name_len: usize, err: *mut *mut Error) -> Status;
    fn honker_scheduler_tick(db: *mut Db, tx: *mut Tx, until: i64, fires_out: *mut *mut Fires, err: *mut *mut Error) -> Status;
    fn honker_scheduler_soonest(db: *mut Db, tx: *mut Tx, at_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_scheduler_list(db: *mut Db, tx: *mut Tx, json_out: *mut *mut Text, err: *mut *mut Error) -> Status;
    fn honker_cron_next_after(expression: *const u8, expression_len: usize, from: i64, at_out: *mut i64, err: *mut *mut Error) -> Status;
    fn honker_fires_len(fires: *const Fires, len_out: *mut usize, err: *mut *mut Error) -> Status;
    fn honker_fires_get(fires: *const Fires, index: usize, fire_out: *mut FireView, err: *mut *mut Error) -> Status;
    fn honker_fires_free(fires: *mut Fires);
    fn honker_waiter_new(db: *mut Db, waiter_out: *mut *mut Waiter, err: *mut *mut Error) -> Status;
    fn honker_wait(waiter: *mut Waiter, timeout_ms: i64, err: *mut *mut Error) -> Status;
    fn honker_waiter_ready(waiter: *mut Waiter, tokens_out: *mut u64, tokens_len: usize, count_out: *mut usize, err: *mut *mut Error) -> Status;
    fn honker_waiter_free(waiter: *mut Waiter);
    fn honker_jobs_lost(jobs: *const Jobs, first: usize, views_out: *mut LostJobView, views_len: usize, read_out: *mut usize, err: *mut *mut Error) -> Status;
    fn honker_worker_new(db: *mut Db, waiter: *mut Waiter, token: u64, queues: *const WorkerQueue, queues_len: usize, worker_id: *const u8, worker_id_len: usize, opts: *const WorkerOptions, worker_out: *mut *mut Worker, err: *mut *mut Error) -> Status;
    fn honker_worker_settle_next(worker: *mut Worker, settlements: *mut Settlement, settlements_len: usize, n: i64, timeout_ms: i64, jobs_out: *mut *mut Jobs, err: *mut *mut Error) -> Status;
    fn honker_worker_free(worker: *mut Worker);
    fn honker_listener_new(db: *mut Db, waiter: *mut Waiter, token: u64, channel: *const u8, channel_len: usize, fallback_ms: i64, listener_out: *mut *mut Listener, err: *mut *mut Error) -> Status;
    fn honker_listener_next(listener: *mut Listener, timeout_ms: i64, notification_out: *mut NotificationView, err: *mut *mut Error) -> Status;
    fn honker_listener_free(listener: *mut Listener);
    fn honker_subscription_new(db: *mut Db, waiter: *mut Waiter, token: u64, topic: *const u8, topic_len: usize, opts: *const SubscriptionOptions, subscription_out: *mut *mut Subscription, err: *mut *mut Error) -> Status;
    fn honker_subscription_next(subscription: *mut Subscription, timeout_ms: i64, event_out: *mut EventView, err: *mut *mut Error) -> Status;
    fn honker_subscription_free(subscription: *mut Subscription);
    fn honker_leader_new(db: *mut Db, waiter: *mut Waiter, token: u64, owner: *const u8, owner_len: usize, leader_out: *mut *mut Leader, err: *mut *mut Error) -> Status;
    fn honker_leader_next(leader: *mut Leader, timeout_ms: i64, fires_out: *mut *mut Fires, err: *mut *mut Error) -> Status;
    fn honker_leader_free(leader: *mut Leader);
}
