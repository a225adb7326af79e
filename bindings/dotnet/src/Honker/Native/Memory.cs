using System.Runtime.InteropServices;
using System.Text;

namespace Honker.Native;

/// <summary>Texts as the library takes them.</summary>
internal static class Utf8
{
    private static readonly UTF8Encoding Strict = new(false, true);

    /// <summary>A name or a payload.</summary>
    /// <exception cref="ArgumentException">There is half of a surrogate pair in it.</exception>
    internal static byte[] Of(string value, string name)
    {
        ArgumentNullException.ThrowIfNull(value, name);
        try
        {
            return Strict.GetBytes(value);
        }
        catch (EncoderFallbackException e)
        {
            throw new ArgumentException($"{name} is no Unicode text: {e.Message}", name, e);
        }
    }

    /// <summary>None if it is null, which is another thing than empty.</summary>
    internal static byte[]? OfOptional(string? value, string name) => value is null ? null : Of(value, name);

    /// <summary>The text of an error, whatever is in it.</summary>
    internal static byte[] OfError(string? text) =>
        Encoding.UTF8.GetBytes((text ?? "").Replace('\0', '\uFFFD'));

    internal static unsafe string Text(Bytes bytes) => Text(bytes.Data, bytes.Len);

    internal static unsafe string Text(byte* data, nuint length) => Encoding.UTF8.GetString(data, checked((int)length));
}

/// <summary>Memory for the texts within structs, until the call is over.</summary>
internal sealed unsafe class Arena : IDisposable
{
    private readonly List<nint> blocks = [];

    /// <summary>A text; an empty one is not null.</summary>
    internal Bytes Text(byte[]? text)
    {
        if (text is null)
        {
            return default;
        }
        var data = (byte*)Allocate((nuint)Math.Max(text.Length, 1));
        text.CopyTo(new Span<byte>(data, text.Length));
        return new Bytes { Data = data, Len = (nuint)text.Length };
    }

    /// <summary>A text that must not be empty if it is there: for the library that would be one that is not given.</summary>
    internal Bytes NotEmpty(string? text, string name)
    {
        if (text is { Length: 0 })
        {
            throw new ArgumentException($"{name} must not be empty", name);
        }
        return Text(Utf8.OfOptional(text, name));
    }

    internal T* Array<T>(int count) where T : unmanaged => (T*)Allocate((nuint)(Math.Max(count, 1) * sizeof(T)));

    internal T* Copy<T>(T value) where T : unmanaged
    {
        var copy = Array<T>(1);
        *copy = value;
        return copy;
    }

    private void* Allocate(nuint size)
    {
        var block = NativeMemory.AllocZeroed(size);
        blocks.Add((nint)block);
        return block;
    }

    public void Dispose()
    {
        foreach (var block in blocks)
        {
            NativeMemory.Free((void*)block);
        }
        blocks.Clear();
    }
}
