package honker

import "unsafe"

// function is one of the library's.
type function int

const (
	fnABIVersion function = iota
	fnAck
	fnAckBatch
	fnBuildInfo
	fnCancel
	fnClaim
	fnClose
	fnCronNextAfter
	fnDeadList
	fnDeadPurge
	fnDeadRequeue
	fnEnqueue
	fnEnqueueMany
	fnErrorFree
	fnErrorMessage
	fnErrorSqliteCode
	fnErrorSqliteExtendedCode
	fnEventsFree
	fnEventsGet
	fnEventsLen
	fnFail
	fnFiresFree
	fnFiresGet
	fnFiresLen
	fnGetJob
	fnHeartbeat
	fnInterrupt
	fnJobsFree
	fnJobsLen
	fnJobsViews
	fnLeaderFree
	fnLeaderLeads
	fnLeaderNew
	fnLeaderNext
	fnLeaderResign
	fnListenerFree
	fnListenerNew
	fnListenerNext
	fnLockAcquire
	fnLockRelease
	fnLockRenew
	fnNotificationsPrune
	fnNotify
	fnOpen
	fnOutboxDelivered
	fnOutboxFailed
	fnOutboxFree
	fnOutboxNew
	fnOutboxNext
	fnQuery
	fnQueueNextClaimAt
	fnQueueStats
	fnRateLimitSweep
	fnRateLimitTry
	fnResultGet
	fnResultSave
	fnResultSweep
	fnResultWait
	fnRetry
	fnRowsColumn
	fnRowsFree
	fnRowsGet
	fnRowsSize
	fnSchedulerList
	fnSchedulerPause
	fnSchedulerRegister
	fnSchedulerResume
	fnSchedulerSoonest
	fnSchedulerTick
	fnSchedulerUnregister
	fnSchedulerUpdate
	fnStreamGetOffset
	fnStreamPublish
	fnStreamReadSince
	fnStreamSaveOffset
	fnSubscriptionAck
	fnSubscriptionFree
	fnSubscriptionNew
	fnSubscriptionNext
	fnSubscriptionOffset
	fnSubscriptionSave
	fnSweepExpired
	fnTextFree
	fnTextGet
	fnTxBegin
	fnTxCommit
	fnTxExecute
	fnTxFree
	fnTxQuery
	fnTxRollback
	fnVersion
	fnWait
	fnWaiterFd
	fnWaiterFree
	fnWaiterNew
	fnWaiterWake
	fnWorkerFree
	fnWorkerNew
	fnWorkerNext
	fnWorkerSettleNext
	functionCount
)

// maxArguments is more than any function has.
const maxArguments = 14

// functionNames has the version first: nothing else is looked for in a library that does not fit.
var functionNames = [functionCount]string{
	fnABIVersion:              "honker_abi_version",
	fnAck:                     "honker_ack",
	fnAckBatch:                "honker_ack_batch",
	fnBuildInfo:               "honker_build_info",
	fnCancel:                  "honker_cancel",
	fnClaim:                   "honker_claim",
	fnClose:                   "honker_close",
	fnCronNextAfter:           "honker_cron_next_after",
	fnDeadList:                "honker_dead_list",
	fnDeadPurge:               "honker_dead_purge",
	fnDeadRequeue:             "honker_dead_requeue",
	fnEnqueue:                 "honker_enqueue",
	fnEnqueueMany:             "honker_enqueue_many",
	fnErrorFree:               "honker_error_free",
	fnErrorMessage:            "honker_error_message",
	fnErrorSqliteCode:         "honker_error_sqlite_code",
	fnErrorSqliteExtendedCode: "honker_error_sqlite_extended_code",
	fnEventsFree:              "honker_events_free",
	fnEventsGet:               "honker_events_get",
	fnEventsLen:               "honker_events_len",
	fnFail:                    "honker_fail",
	fnFiresFree:               "honker_fires_free",
	fnFiresGet:                "honker_fires_get",
	fnFiresLen:                "honker_fires_len",
	fnGetJob:                  "honker_get_job",
	fnHeartbeat:               "honker_heartbeat",
	fnInterrupt:               "honker_interrupt",
	fnJobsFree:                "honker_jobs_free",
	fnJobsLen:                 "honker_jobs_len",
	fnJobsViews:               "honker_jobs_views",
	fnLeaderFree:              "honker_leader_free",
	fnLeaderLeads:             "honker_leader_leads",
	fnLeaderNew:               "honker_leader_new",
	fnLeaderNext:              "honker_leader_next",
	fnLeaderResign:            "honker_leader_resign",
	fnListenerFree:            "honker_listener_free",
	fnListenerNew:             "honker_listener_new",
	fnListenerNext:            "honker_listener_next",
	fnLockAcquire:             "honker_lock_acquire",
	fnLockRelease:             "honker_lock_release",
	fnLockRenew:               "honker_lock_renew",
	fnNotificationsPrune:      "honker_notifications_prune",
	fnNotify:                  "honker_notify",
	fnOpen:                    "honker_open",
	fnOutboxDelivered:         "honker_outbox_delivered",
	fnOutboxFailed:            "honker_outbox_failed",
	fnOutboxFree:              "honker_outbox_free",
	fnOutboxNew:               "honker_outbox_new",
	fnOutboxNext:              "honker_outbox_next",
	fnQuery:                   "honker_query",
	fnQueueNextClaimAt:        "honker_queue_next_claim_at",
	fnQueueStats:              "honker_queue_stats",
	fnRateLimitSweep:          "honker_rate_limit_sweep",
	fnRateLimitTry:            "honker_rate_limit_try",
	fnResultGet:               "honker_result_get",
	fnResultSave:              "honker_result_save",
	fnResultSweep:             "honker_result_sweep",
	fnResultWait:              "honker_result_wait",
	fnRetry:                   "honker_retry",
	fnRowsColumn:              "honker_rows_column",
	fnRowsFree:                "honker_rows_free",
	fnRowsGet:                 "honker_rows_get",
	fnRowsSize:                "honker_rows_size",
	fnSchedulerList:           "honker_scheduler_list",
	fnSchedulerPause:          "honker_scheduler_pause",
	fnSchedulerRegister:       "honker_scheduler_register",
	fnSchedulerResume:         "honker_scheduler_resume",
	fnSchedulerSoonest:        "honker_scheduler_soonest",
	fnSchedulerTick:           "honker_scheduler_tick",
	fnSchedulerUnregister:     "honker_scheduler_unregister",
	fnSchedulerUpdate:         "honker_scheduler_update",
	fnStreamGetOffset:         "honker_stream_get_offset",
	fnStreamPublish:           "honker_stream_publish",
	fnStreamReadSince:         "honker_stream_read_since",
	fnStreamSaveOffset:        "honker_stream_save_offset",
	fnSubscriptionAck:         "honker_subscription_ack",
	fnSubscriptionFree:        "honker_subscription_free",
	fnSubscriptionNew:         "honker_subscription_new",
	fnSubscriptionNext:        "honker_subscription_next",
	fnSubscriptionOffset:      "honker_subscription_offset",
	fnSubscriptionSave:        "honker_subscription_save",
	fnSweepExpired:            "honker_sweep_expired",
	fnTextFree:                "honker_text_free",
	fnTextGet:                 "honker_text_get",
	fnTxBegin:                 "honker_tx_begin",
	fnTxCommit:                "honker_tx_commit",
	fnTxExecute:               "honker_tx_execute",
	fnTxFree:                  "honker_tx_free",
	fnTxQuery:                 "honker_tx_query",
	fnTxRollback:              "honker_tx_rollback",
	fnVersion:                 "honker_version",
	fnWait:                    "honker_wait",
	fnWaiterFd:                "honker_waiter_fd",
	fnWaiterFree:              "honker_waiter_free",
	fnWaiterNew:               "honker_waiter_new",
	fnWaiterWake:              "honker_waiter_wake",
	fnWorkerFree:              "honker_worker_free",
	fnWorkerNew:               "honker_worker_new",
	fnWorkerNext:              "honker_worker_next",
	fnWorkerSettleNext:        "honker_worker_settle_next",
}

// noTime is a time that is not set. As a value of the user's it is refused.
const noTime = int64(^uint64(0) >> 1)

// What the numbers in structs mean.
const (
	nestingWait = 1

	typeNull    = 0
	typeInteger = 1
	typeReal    = 2
	typeText    = 3
	typeBlob    = 4

	settleAck   = 0
	settleRetry = 1
	settleFail  = 2

	updateExpression  = 1
	updatePayload     = 2
	updatePriority    = 4
	updateExpires     = 8
	updateMaxAttempts = 16
)

// The structs of honker.h. A test compares their layouts.
type (
	bytesView struct {
		data *byte
		len  uintptr
	}

	enqueueOpts struct {
		structSize  uint32
		reserved    uint32
		runAt       int64
		delayS      int64
		expiresS    int64
		priority    int64
		maxAttempts int64
	}

	eventView struct {
		structSize uint32
		reserved   uint32
		offset     int64
		topic      bytesView
		key        bytesView
		payload    bytesView
		createdAt  int64
	}

	fireView struct {
		structSize uint32
		reserved   uint32
		name       bytesView
		queue      bytesView
		fireAt     int64
		jobID      int64
	}

	jobView struct {
		structSize     uint32
		reserved       uint32
		id             int64
		queue          bytesView
		payload        bytesView
		workerID       bytesView
		attempts       int64
		claimExpiresAt int64
	}

	notificationView struct {
		structSize uint32
		reserved   uint32
		id         int64
		channel    bytesView
		payload    bytesView
		createdAt  int64
	}

	openOpts struct {
		structSize             uint32
		reserved               uint32
		busyTimeoutMS          int64
		readersMax             uint32
		durability             uint32
		journalMode            uint32
		walAutocheckpointPages uint32
		nesting                uint32
		reserved2              uint32
		watcherBackend         bytesView
		watcherPollIntervalMS  int64
	}

	outboxOpts struct {
		structSize         uint32
		reserved           uint32
		visibilityTimeoutS int64
		baseBackoffS       int64
		fallbackMS         int64
	}

	scheduleOpts struct {
		structSize  uint32
		reserved    uint32
		priority    int64
		expiresS    int64
		maxAttempts int64
	}

	scheduleUpdate struct {
		structSize  uint32
		reserved    uint32
		fields      uint64
		expression  bytesView
		payload     bytesView
		priority    int64
		expiresS    int64
		maxAttempts int64
	}

	settlement struct {
		kind   uint32
		status Status
		id     int64
		delayS int64
		error  bytesView
	}

	subscriptionOpts struct {
		structSize  uint32
		reserved    uint32
		consumer    bytesView
		fromOffset  int64
		saveEveryN  int64
		saveEveryMS int64
	}

	value struct {
		valueType uint32
		reserved  uint32
		integer   int64
		real      float64
		bytes     bytesView
	}

	workerOpts struct {
		structSize         uint32
		reserved           uint32
		visibilityTimeoutS int64
		fallbackMS         int64
	}
)

// view is a text for a field of a struct. Whoever passes the struct keeps it alive, and the text with it.
func view(s string) bytesView { return bytesView{(*byte)(text(s)), uintptr(len(s))} }

// text is the address of a string for an argument list; an empty one has none.
func text(s string) unsafe.Pointer {
	if s == "" {
		return nil
	}
	return unsafe.Pointer(unsafe.StringData(s))
}

// slice is the address of a slice for an argument list; an empty one has none.
func slice[T any](s []T) unsafe.Pointer {
	if len(s) == 0 {
		return nil
	}
	return unsafe.Pointer(unsafe.SliceData(s))
}

// bytes is a copy of what a view of the library's shows.
func (v bytesView) bytes() []byte { return append([]byte{}, unsafe.Slice(v.data, v.len)...) }

// text is the same as a string.
func (v bytesView) text() string { return string(unsafe.Slice(v.data, v.len)) }
