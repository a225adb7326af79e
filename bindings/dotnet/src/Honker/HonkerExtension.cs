using System.IO;
using System.Linq;
using Honker.Native;

namespace Honker;

/// <summary>
/// honker's loadable extension, which gives another SQLite honker's SQL functions:
/// <c>connection.LoadExtension(HonkerExtension.FindPath())</c> of Microsoft.Data.Sqlite.
/// </summary>
public static class HonkerExtension
{
    /// <summary>
    /// Where it is: HONKER_EXTENSION_PATH, the application's folder, the package's; each also with runtimes/&lt;rid&gt;/native.
    /// </summary>
    /// <returns>Its path.</returns>
    /// <exception cref="InvalidOperationException">It is in none of them; the message lists them.</exception>
    public static string FindPath()
    {
        var named = Environment.GetEnvironmentVariable("HONKER_EXTENSION_PATH");
        if (!string.IsNullOrEmpty(named))
        {
            return File.Exists(named) ? named : throw new InvalidOperationException($"HONKER_EXTENSION_PATH does not exist: {named}");
        }
        var file = OperatingSystem.IsWindows() ? "honker_ext.dll" : OperatingSystem.IsMacOS() ? "libhonker_ext.dylib" : "libhonker_ext.so";
        var tried = NativeFiles.Folders().Select(folder => Path.Combine(folder, file)).Distinct().ToList();
        return tried.FirstOrDefault(File.Exists) ?? throw new InvalidOperationException(
            $"honker's extension was not found; set HONKER_EXTENSION_PATH. Tried:\n  {string.Join("\n  ", tried)}");
    }
}
