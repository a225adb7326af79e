using System.Linq;

namespace Honker;

/// <summary>
/// What the first queue of a database sees to in the file: the view _honker_jobs, for people who look at it, and that the tables of
/// versions long gone are gone. Where nothing is to be done it only reads.
/// </summary>
internal static class Inspection
{
    private const string View =
        "CREATE VIEW IF NOT EXISTS _honker_jobs AS " +
        "SELECT id, queue, payload, state, priority, run_at, worker_id, claim_expires_at, attempts, max_attempts, " +
        "NULL AS last_error, created_at FROM _honker_live UNION ALL " +
        "SELECT id, queue, payload, 'dead', priority, run_at, NULL, NULL, attempts, max_attempts, last_error, created_at " +
        "FROM _honker_dead";

    // Their rows are not moved: whoever runs the application has drained them.
    private static readonly string[] LegacyTables = ["_honker_pending", "_honker_processing"];

    private static readonly string[] LegacyIndexes =
        ["_honker_jobs_claim", "_honker_jobs_claim_v2", "_honker_pending_claim", "_honker_processing_reclaim"];

    /// <summary>
    /// Whether there is nothing left to do. It is left to the next queue while a transaction is open here, which it would wait for,
    /// and where the file refuses it: a queue can be had all the same.
    /// </summary>
    internal static bool LookAfter(Database database)
    {
        if (database.IsOnServer)
        {
            return true; // its schema is its owner's, and the view would be in another one
        }
        if (database.HasOpenTransaction)
        {
            return false;
        }
        try
        {
            string[] names = ["_honker_jobs", .. LegacyIndexes, .. LegacyTables];
            var found = database.Query(
                $"SELECT name FROM main.sqlite_schema WHERE name IN ({string.Join(", ", names.Select((_, i) => $"@p{i}"))})", names);
            if (found is [var only] && only.Get<string>(0) == "_honker_jobs")
            {
                return true;
            }
            using var transaction = database.BeginTransaction();
            transaction.Execute(View);
            foreach (var index in LegacyIndexes)
            {
                transaction.Execute($"DROP INDEX IF EXISTS {index}");
            }
            foreach (var table in LegacyTables)
            {
                transaction.Execute($"DROP TABLE IF EXISTS {table}");
            }
            transaction.Commit();
            return true;
        }
        catch (HonkerException)
        {
            return false; // whatever is wrong with the file, calls that need it say so
        }
    }
}
