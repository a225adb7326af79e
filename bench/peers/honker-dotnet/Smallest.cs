using Honker;

internal static class Smallest
{
    public static async Task RunAsync()
    {
        using var db = Database.Open("app.db");
        db.Queue("greetings").Enqueue("hello");
        var worker = db.Worker().Handle<string>("greetings", (word, job, cancel) => Console.Out.WriteLineAsync(word));
        await worker.RunAsync();
    }
}
