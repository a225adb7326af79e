using System;
using System.Threading.Tasks;
using Honker;
using Microsoft.Data.Sqlite;

namespace Honker.Examples;

internal static class YourOwnSqlite
{
    internal static async Task RunAsync(string file)
    {
        using var db = Database.Open(file, Program.Options);
        await using var connection = new SqliteConnection(db.ConnectionString);
        await connection.OpenAsync();
        await using (var transaction = await connection.BeginTransactionAsync())
        {
            await transaction.EnqueueJobAsync("emails", new Email("alice"), json: Program.Options.JsonSerializerOptions);
            await transaction.CommitAsync();
        }
        Console.WriteLine(db.Queue("emails").ClaimOne("worker-1")!.PayloadRaw);
    }
}
