package dev.honker.kotlin

import dev.honker.BatchOptions
import dev.honker.EnqueueOptions
import dev.honker.JobFilter
import dev.honker.ListenOptions
import dev.honker.LockOptions
import dev.honker.NotificationPruneOptions
import dev.honker.OpenOptions
import dev.honker.OutboxOptions
import dev.honker.QueueOptions
import dev.honker.ScheduleOptions
import dev.honker.SchedulerOptions
import dev.honker.SubscribeOptions
import dev.honker.TaskOptions
import dev.honker.WaitOptions
import dev.honker.WatcherOptions
import dev.honker.WorkerOptions

/** [OpenOptions], beginning with the defaults: `openOptions { … }`. */
public fun openOptions(set: OpenOptions.Builder.() -> Unit): OpenOptions = OpenOptions.builder().apply(set).build()

/** [WatcherOptions], beginning with the defaults: `watcherOptions { … }`. */
public fun watcherOptions(set: WatcherOptions.Builder.() -> Unit): WatcherOptions = WatcherOptions.builder().apply(set).build()

/** [QueueOptions], beginning with the defaults: `queueOptions { … }`. */
public fun queueOptions(set: QueueOptions.Builder.() -> Unit): QueueOptions = QueueOptions.builder().apply(set).build()

/** [EnqueueOptions], beginning with the defaults: `enqueueOptions { … }`. */
public fun enqueueOptions(set: EnqueueOptions.Builder.() -> Unit): EnqueueOptions = EnqueueOptions.builder().apply(set).build()

/** [WaitOptions], beginning with the defaults: `waitOptions { … }`. */
public fun waitOptions(set: WaitOptions.Builder.() -> Unit): WaitOptions = WaitOptions.builder().apply(set).build()

/** [WorkerOptions], beginning with the defaults: `workerOptions { … }`. */
public fun workerOptions(set: WorkerOptions.Builder.() -> Unit): WorkerOptions = WorkerOptions.builder().apply(set).build()

/** [ListenOptions], beginning with the defaults: `listenOptions { … }`. */
public fun listenOptions(set: ListenOptions.Builder.() -> Unit): ListenOptions = ListenOptions.builder().apply(set).build()

/** [SubscribeOptions], beginning with the defaults: `subscribeOptions { … }`. */
public fun subscribeOptions(set: SubscribeOptions.Builder.() -> Unit): SubscribeOptions = SubscribeOptions.builder().apply(set).build()

/** [SchedulerOptions], beginning with the defaults: `schedulerOptions { … }`. */
public fun schedulerOptions(set: SchedulerOptions.Builder.() -> Unit): SchedulerOptions = SchedulerOptions.builder().apply(set).build()

/** [ScheduleOptions], beginning with the defaults: `scheduleOptions { … }`. */
public fun scheduleOptions(set: ScheduleOptions.Builder.() -> Unit): ScheduleOptions = ScheduleOptions.builder().apply(set).build()

/** [LockOptions], beginning with the defaults: `lockOptions { … }`. */
public fun lockOptions(set: LockOptions.Builder.() -> Unit): LockOptions = LockOptions.builder().apply(set).build()

/** [OutboxOptions], beginning with the defaults: `outboxOptions { … }`. */
public fun outboxOptions(set: OutboxOptions.Builder.() -> Unit): OutboxOptions = OutboxOptions.builder().apply(set).build()

/** [TaskOptions], beginning with the defaults: `taskOptions { … }`. */
public fun taskOptions(set: TaskOptions.Builder.() -> Unit): TaskOptions = TaskOptions.builder().apply(set).build()

/** [NotificationPruneOptions], beginning with the defaults: `notificationPruneOptions { … }`. */
public fun notificationPruneOptions(set: NotificationPruneOptions.Builder.() -> Unit): NotificationPruneOptions =
    NotificationPruneOptions.builder().apply(set).build()

/** [BatchOptions], beginning with the defaults: `batchOptions { … }`. */
public fun batchOptions(set: BatchOptions.Builder.() -> Unit): BatchOptions = BatchOptions.builder().apply(set).build()

/** [JobFilter], beginning with all jobs: `jobFilter { … }`. */
public fun jobFilter(set: JobFilter.Builder.() -> Unit): JobFilter = JobFilter.builder().apply(set).build()
