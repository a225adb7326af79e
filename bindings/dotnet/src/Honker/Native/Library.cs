using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Honker.Native;

/// <summary>Finds libhonker and loads it, once for each AssemblyLoadContext that this assembly is in.</summary>
internal static class Library
{
    private static readonly object Gate = new();
    private static nint loaded;
    private static string loadedFrom = "";
    private static string? wanted;

    private static string FileName =>
        OperatingSystem.IsWindows() ? "honker.dll" : OperatingSystem.IsMacOS() ? "libhonker.dylib" : "libhonker.so";

    /// <summary>Loads it if it is not there yet: <paramref name="path"/> if that is given, else the first that is found.</summary>
    /// <exception cref="HonkerLibraryException">It cannot be had.</exception>
    internal static void Load(string? path)
    {
        lock (Gate)
        {
            if (loaded != 0)
            {
                if (path is not null && Path.GetFullPath(path) != Path.GetFullPath(wanted ?? loadedFrom))
                {
                    throw new HonkerLibraryException(
                        $"this process has loaded {loadedFrom} already, and cannot load {path} beside it");
                }
                return;
            }
            var (library, from) = path is null ? Find() : Named(path, "OpenOptions.LibraryPath");
            CheckVersion(library, from);
            (loaded, loadedFrom, wanted) = (library, from, path);
            NativeLibrary.SetDllImportResolver(typeof(Library).Assembly, Resolve);
        }
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? search) =>
        name == NativeMethods.Library ? loaded : 0;

    private static (nint, string) Find()
    {
        var named = Environment.GetEnvironmentVariable("HONKER_LIBRARY");
        if (!string.IsNullOrEmpty(named))
        {
            return Named(named, "HONKER_LIBRARY");
        }
        var tried = new List<string>();
        foreach (var candidate in Candidates().Distinct())
        {
            if (!File.Exists(candidate))
            {
                tried.Add($"{candidate}: there is no such file");
            }
            else if (TryLoad(candidate, out var library, out var why))
            {
                return (library, candidate);
            }
            else
            {
                tried.Add(why);
            }
        }
        if (TryLoad(FileName, out var systems, out var reason))
        {
            return (systems, FileName);
        }
        tried.Add(reason);
        throw new HonkerLibraryException(
            "libhonker was not found; name it with OpenOptions.LibraryPath or HONKER_LIBRARY. Tried:\n  " +
            string.Join("\n  ", tried));
    }

    /// <summary>Where the package's own copy may be, and then beside the program.</summary>
    private static IEnumerable<string> Candidates()
    {
        foreach (var folder in NativeFiles.Folders())
        {
            yield return Path.Combine(folder, FileName);
        }
        if (Path.GetDirectoryName(Environment.ProcessPath) is { Length: > 0 } program)
        {
            yield return Path.Combine(program, FileName);
        }
    }

    private static (nint, string) Named(string path, string by)
    {
        if (path.Length == 0 || !TryLoad(Path.GetFullPath(path), out var library, out var why))
        {
            throw new HonkerLibraryException($"libhonker cannot be loaded from {by}: {(path.Length == 0 ? "it is empty" : Why(path))}");
        }
        return (library, Path.GetFullPath(path));
    }

    private static string Why(string path)
    {
        path = Path.GetFullPath(path);
        return File.Exists(path) ? TryLoad(path, out _, out var why) ? "" : why : $"{path}: there is no such file";
    }

    private static bool TryLoad(string path, out nint library, out string why)
    {
        try
        {
            library = NativeLibrary.Load(path);
            why = "";
            return true;
        }
        catch (Exception e) when (e is DllNotFoundException or BadImageFormatException)
        {
            library = 0;
            why = $"{path}: {e.Message.Split('\n')[0]}";
            return false;
        }
    }

    private static unsafe void CheckVersion(nint library, string from)
    {
        if (!NativeLibrary.TryGetExport(library, "honker_abi_version", out var function))
        {
            throw new HonkerLibraryException($"{from} is not libhonker: it has no honker_abi_version");
        }
        var version = ((delegate* unmanaged[Cdecl]<uint>)function)();
        if (version >> 16 != Abi.AbiVersion >> 16 || (version & 0xffff) < (Abi.AbiVersion & 0xffff))
        {
            throw new HonkerLibraryException(
                $"{from} has version {version >> 16}.{version & 0xffff} of the interface, and this package needs " +
                $"{Abi.AbiVersion >> 16}.{Abi.AbiVersion & 0xffff}: update the older one of the two");
        }
    }
}

/// <summary>Where a package's native files are: what NuGet puts beside a published application, or below it.</summary>
internal static class NativeFiles
{
    private static string Rid
    {
        get
        {
            var system = OperatingSystem.IsWindows() ? "win" : OperatingSystem.IsMacOS() ? "osx" : "linux";
            if (system == "linux" && RuntimeInformation.RuntimeIdentifier.Contains("musl", StringComparison.Ordinal))
            {
                system = "linux-musl";
            }
            return $"{system}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
        }
    }

    /// <summary>The application's folder, then the assembly's, each with its runtimes folder.</summary>
    internal static IEnumerable<string> Folders()
    {
        var folders = new List<string> { AppContext.BaseDirectory };
        if (Beside() is { Length: > 0 } beside)
        {
            folders.Add(beside);
        }
        // A package in NuGet's cache, for a program that was built and not published.
        if (AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") is string search)
        {
            folders.AddRange(search.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries));
        }
        foreach (var folder in folders)
        {
            yield return folder;
            yield return Path.Combine(folder, "runtimes", Rid, "native");
        }
    }

    [System.Diagnostics.CodeAnalysis.UnconditionalSuppressMessage("SingleFile", "IL3000",
        Justification = "Empty in a single file, which is looked for then.")]
    private static string? Beside() => Path.GetDirectoryName(typeof(NativeFiles).Assembly.Location);
}
