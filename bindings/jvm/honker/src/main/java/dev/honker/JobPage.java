package dev.honker;

import java.util.List;

/**
 * Some of the jobs that a filter finds.
 *
 * @param jobs the jobs; there may be none, and further ones all the same
 * @param cursor where the next page begins, for {@link JobFilter.Builder#cursor}; null if this is
 *     the last one
 */
public record JobPage(List<JobInfo> jobs, Long cursor) {}
