// Implicit usings have a Stream of their own, System.IO's: a file that names one of the two says which.
using Honker;
using Stream = System.IO.Stream; // honker's is Honker.Stream

internal static class Files
{
    /// <summary>Publishes the lines of a file.</summary>
    internal static void PublishLines(Database db, Stream file)
    {
        Honker.Stream topic = db.Stream("lines");
        using var reader = new StreamReader(file);
        while (reader.ReadLine() is { } line)
        {
            topic.Publish(line);
        }
    }
}
