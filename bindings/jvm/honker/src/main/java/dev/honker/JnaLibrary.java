package dev.honker;

import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;

/**
 * {@link HonkerLibrary} through JNA's direct mapping: the native methods are bound to the functions
 * of their name.
 */
final class JnaLibrary implements HonkerLibrary {
  private JnaLibrary() {}

  /**
   * Binds all functions to the library at this path; an UnsatisfiedLinkError if there is none, or
   * one is missing.
   */
  static JnaLibrary bind(NativeLibrary library) {
    Native.register(JnaLibrary.class, library);
    return new JnaLibrary();
  }

  @Override
  public byte[] read(long address, long length) {
    if (length == 0) return new byte[0];
    return new Pointer(address).getByteArray(0, Math.toIntExact(length));
  }

  @Override
  public long allocate(byte[] bytes) {
    long address = Native.malloc(Math.max(1, bytes.length));
    if (address == 0) throw new OutOfMemoryError("no native memory for " + bytes.length + " bytes");
    new Pointer(address).write(0, bytes, 0, bytes.length);
    return address;
  }

  @Override
  public void release(long address) {
    Native.free(address);
  }

  @Override
  public String text(long address) {
    return new Pointer(address).getString(0, "UTF-8");
  }

  @Override
  public native long honker_status_name(int status);

  @Override
  public native int honker_abi_version();

  @Override
  public native long honker_version();

  @Override
  public native long honker_build_info();

  @Override
  public native int honker_error_status(long error);

  @Override
  public native long honker_error_name(long error);

  @Override
  public native long honker_error_message(long error, long[] lenOut);

  @Override
  public native int honker_error_sqlite_code(long error);

  @Override
  public native int honker_error_sqlite_extended_code(long error);

  @Override
  public native void honker_error_free(long error);

  @Override
  public native int honker_text_get(long text, long[] dataOut, long[] lenOut, long[] err);

  @Override
  public native void honker_text_free(long text);

  @Override
  public native int honker_open(byte[] path, long pathLen, byte[] opts, long[] dbOut, long[] err);

  @Override
  public native int honker_close(long db, long[] err);

  @Override
  public native int honker_interrupt(long db, long[] err);

  @Override
  public native int honker_tx_begin(long db, long[] txOut, long[] err);

  @Override
  public native int honker_tx_commit(long tx, long[] err);

  @Override
  public native int honker_tx_rollback(long tx, long[] err);

  @Override
  public native void honker_tx_free(long tx);

  @Override
  public native int honker_tx_execute(
      long tx,
      byte[] sql,
      long sqlLen,
      byte[] params,
      long paramsLen,
      long[] changesOut,
      long[] err);

  @Override
  public native int honker_tx_query(
      long tx, byte[] sql, long sqlLen, byte[] params, long paramsLen, long[] rowsOut, long[] err);

  @Override
  public native int honker_query(
      long db, byte[] sql, long sqlLen, byte[] params, long paramsLen, long[] rowsOut, long[] err);

  @Override
  public native int honker_rows_size(long rows, long[] rowsOut, long[] columnsOut, long[] err);

  @Override
  public native int honker_rows_column(
      long rows, long column, long[] nameOut, long[] lenOut, long[] err);

  @Override
  public native int honker_rows_get(long rows, long row, long column, byte[] valueOut, long[] err);

  @Override
  public native void honker_rows_free(long rows);

  @Override
  public native int honker_enqueue(
      long db,
      long tx,
      byte[] queue,
      long queueLen,
      byte[] payload,
      long payloadLen,
      byte[] opts,
      long[] idOut,
      long[] err);

  @Override
  public native int honker_enqueue_many(
      long db,
      long tx,
      byte[] queue,
      long queueLen,
      byte[] payloads,
      long payloadsLen,
      byte[] opts,
      long[] idsOut,
      long[] err);

  @Override
  public native int honker_ack(
      long db, long tx, long id, byte[] workerId, long workerIdLen, long[] err);

  @Override
  public native int honker_ack_batch(
      long db,
      long tx,
      long[] ids,
      long idsLen,
      byte[] workerId,
      long workerIdLen,
      long[] ackedOut,
      long[] err);

  @Override
  public native int honker_retry(
      long db,
      long tx,
      long id,
      byte[] workerId,
      long workerIdLen,
      long delayS,
      byte[] error,
      long errorLen,
      long[] err);

  @Override
  public native int honker_fail(
      long db,
      long tx,
      long id,
      byte[] workerId,
      long workerIdLen,
      byte[] error,
      long errorLen,
      long[] err);

  @Override
  public native int honker_heartbeat(
      long db, long tx, long id, byte[] workerId, long workerIdLen, long extendS, long[] err);

  @Override
  public native int honker_cancel(long db, long tx, long id, long[] err);

  @Override
  public native int honker_sweep_expired(
      long db, long tx, byte[] queue, long queueLen, long[] sweptOut, long[] err);

  @Override
  public native int honker_queue_next_claim_at(
      long db, long tx, byte[] queue, long queueLen, long[] atOut, long[] err);

  @Override
  public native int honker_get_job(long db, long tx, long id, long[] jsonOut, long[] err);

  @Override
  public native int honker_queue_stats(
      long db, long tx, byte[] queue, long queueLen, long[] jsonOut, long[] err);

  @Override
  public native int honker_claim(
      long db,
      long tx,
      byte[] queue,
      long queueLen,
      byte[] workerId,
      long workerIdLen,
      long n,
      long timeoutS,
      long[] jobsOut,
      long[] err);

  @Override
  public native int honker_jobs_len(long jobs, long[] lenOut, long[] err);

  @Override
  public native int honker_jobs_get(long jobs, long index, byte[] jobOut, long[] err);

  @Override
  public native int honker_jobs_views(
      long jobs, long first, byte[] viewsOut, long viewsLen, long[] readOut, long[] err);

  @Override
  public native void honker_jobs_free(long jobs);

  @Override
  public native int honker_waiter_new(long db, long[] waiterOut, long[] err);

  @Override
  public native int honker_wait(long waiter, long timeoutMs, long[] err);

  @Override
  public native int honker_waiter_wake(long waiter, long[] err);

  @Override
  public native int honker_waiter_fd(long waiter, long[] fdOut, long[] err);

  @Override
  public native void honker_waiter_free(long waiter);

  @Override
  public native int honker_worker_new(
      long db,
      long waiter,
      byte[] queue,
      long queueLen,
      byte[] workerId,
      long workerIdLen,
      byte[] opts,
      long[] workerOut,
      long[] err);

  @Override
  public native int honker_worker_next(
      long worker, long n, long timeoutMs, long[] jobsOut, long[] err);

  @Override
  public native int honker_worker_settle_next(
      long worker,
      byte[] settlements,
      long settlementsLen,
      long n,
      long timeoutMs,
      long[] jobsOut,
      long[] err);

  @Override
  public native void honker_worker_free(long worker);

  @Override
  public native int honker_dead_list(
      long db, long tx, byte[] queue, long queueLen, long limit, long[] jsonOut, long[] err);

  @Override
  public native int honker_dead_requeue(long db, long tx, long id, long[] err);

  @Override
  public native int honker_dead_purge(
      long db, long tx, byte[] queue, long queueLen, long olderThanS, long[] purgedOut, long[] err);

  @Override
  public native int honker_notify(
      long db,
      long tx,
      byte[] channel,
      long channelLen,
      byte[] payload,
      long payloadLen,
      long[] idOut,
      long[] err);

  @Override
  public native int honker_notifications_prune(
      long db, long tx, long olderThanS, long maxKeep, long[] prunedOut, long[] err);

  @Override
  public native int honker_listener_new(
      long db,
      long waiter,
      byte[] channel,
      long channelLen,
      long fallbackMs,
      long[] listenerOut,
      long[] err);

  @Override
  public native int honker_listener_next(
      long listener, long timeoutMs, byte[] notificationOut, long[] err);

  @Override
  public native void honker_listener_free(long listener);

  @Override
  public native int honker_stream_publish(
      long db,
      long tx,
      byte[] topic,
      long topicLen,
      byte[] key,
      long keyLen,
      byte[] payload,
      long payloadLen,
      long[] offsetOut,
      long[] err);

  @Override
  public native int honker_stream_read_since(
      long db,
      long tx,
      byte[] topic,
      long topicLen,
      long offset,
      long limit,
      long[] eventsOut,
      long[] err);

  @Override
  public native int honker_stream_save_offset(
      long db,
      long tx,
      byte[] consumer,
      long consumerLen,
      byte[] topic,
      long topicLen,
      long offset,
      long[] err);

  @Override
  public native int honker_stream_get_offset(
      long db,
      long tx,
      byte[] consumer,
      long consumerLen,
      byte[] topic,
      long topicLen,
      long[] offsetOut,
      long[] err);

  @Override
  public native int honker_events_len(long events, long[] lenOut, long[] err);

  @Override
  public native int honker_events_get(long events, long index, byte[] eventOut, long[] err);

  @Override
  public native void honker_events_free(long events);

  @Override
  public native int honker_subscription_new(
      long db,
      long waiter,
      byte[] topic,
      long topicLen,
      byte[] opts,
      long[] subscriptionOut,
      long[] err);

  @Override
  public native int honker_subscription_next(
      long subscription, long timeoutMs, byte[] eventOut, long[] err);

  @Override
  public native int honker_subscription_ack(long subscription, long[] err);

  @Override
  public native int honker_subscription_save(long subscription, long[] err);

  @Override
  public native int honker_subscription_offset(long subscription, long[] offsetOut, long[] err);

  @Override
  public native void honker_subscription_free(long subscription);

  @Override
  public native int honker_result_save(
      long db, long tx, long jobId, byte[] value, long valueLen, long ttlS, long[] err);

  @Override
  public native int honker_result_get(long db, long tx, long jobId, long[] valueOut, long[] err);

  @Override
  public native int honker_result_sweep(long db, long tx, long[] sweptOut, long[] err);

  @Override
  public native int honker_result_wait(
      long db, long waiter, long jobId, long timeoutMs, long[] valueOut, long[] err);

  @Override
  public native int honker_lock_acquire(
      long db,
      long tx,
      byte[] name,
      long nameLen,
      byte[] owner,
      long ownerLen,
      long ttlS,
      long[] err);

  @Override
  public native int honker_lock_renew(
      long db,
      long tx,
      byte[] name,
      long nameLen,
      byte[] owner,
      long ownerLen,
      long ttlS,
      long[] err);

  @Override
  public native int honker_lock_release(
      long db, long tx, byte[] name, long nameLen, byte[] owner, long ownerLen, long[] err);

  @Override
  public native int honker_rate_limit_try(
      long db, long tx, byte[] name, long nameLen, long limit, long perS, long[] err);

  @Override
  public native int honker_rate_limit_sweep(
      long db, long tx, long olderThanS, long[] sweptOut, long[] err);

  @Override
  public native int honker_scheduler_register(
      long db,
      long tx,
      byte[] name,
      long nameLen,
      byte[] queue,
      long queueLen,
      byte[] expression,
      long expressionLen,
      byte[] payload,
      long payloadLen,
      byte[] opts,
      long[] err);

  @Override
  public native int honker_scheduler_unregister(
      long db, long tx, byte[] name, long nameLen, long[] err);

  @Override
  public native int honker_scheduler_update(
      long db, long tx, byte[] name, long nameLen, byte[] changes, long[] err);

  @Override
  public native int honker_scheduler_pause(long db, long tx, byte[] name, long nameLen, long[] err);

  @Override
  public native int honker_scheduler_resume(
      long db, long tx, byte[] name, long nameLen, long[] err);

  @Override
  public native int honker_scheduler_tick(
      long db, long tx, long until, long[] firesOut, long[] err);

  @Override
  public native int honker_scheduler_soonest(long db, long tx, long[] atOut, long[] err);

  @Override
  public native int honker_scheduler_list(long db, long tx, long[] jsonOut, long[] err);

  @Override
  public native int honker_cron_next_after(
      byte[] expression, long expressionLen, long from, long[] atOut, long[] err);

  @Override
  public native int honker_fires_len(long fires, long[] lenOut, long[] err);

  @Override
  public native int honker_fires_get(long fires, long index, byte[] fireOut, long[] err);

  @Override
  public native void honker_fires_free(long fires);

  @Override
  public native int honker_leader_new(
      long db, long waiter, byte[] owner, long ownerLen, long[] leaderOut, long[] err);

  @Override
  public native int honker_leader_next(long leader, long timeoutMs, long[] firesOut, long[] err);

  @Override
  public native int honker_leader_leads(long leader, long[] leadsOut, long[] err);

  @Override
  public native int honker_leader_resign(long leader, long[] err);

  @Override
  public native void honker_leader_free(long leader);

  @Override
  public native int honker_outbox_new(
      long db,
      long waiter,
      byte[] name,
      long nameLen,
      byte[] workerId,
      long workerIdLen,
      byte[] opts,
      long[] outboxOut,
      long[] err);

  @Override
  public native int honker_outbox_next(long outbox, long timeoutMs, long[] jobsOut, long[] err);

  @Override
  public native int honker_outbox_delivered(long outbox, long id, long[] err);

  @Override
  public native int honker_outbox_failed(
      long outbox, long id, long attempts, byte[] error, long errorLen, long[] err);

  @Override
  public native void honker_outbox_free(long outbox);
}
