package dev.honker;

/**
 * What has become of a {@link JobAction}.
 *
 * @param changed how many jobs were changed
 * @param conflicts how many were passed over because another job has their unique key, or because
 *     the file refuses the change, by a trigger of the application's for instance
 * @param left how many are left; null where that would have to be counted
 * @param cursor where to go on, for {@link JobFilter.Builder#cursor}; null if nothing is left
 */
public record AppliedJobs(long changed, long conflicts, Long left, Long cursor) {}
