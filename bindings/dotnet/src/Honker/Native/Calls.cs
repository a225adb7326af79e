using System.Runtime.InteropServices;
using System.Text;

namespace Honker.Native;

/// <summary>What a call has answered, as .NET says it.</summary>
internal static class Calls
{
    /// <summary>The outcome of a call; frees its error.</summary>
    internal static HonkerStatus Check(int status, nint error)
    {
        if (status < 0)
        {
            throw Failure(status, error);
        }
        if (error != 0)
        {
            NativeMethods.ErrorFree(error); // a warning
        }
        return (HonkerStatus)status;
    }

    /// <summary>The exception for a negative status; frees the error.</summary>
    internal static Exception Failure(int status, nint error)
    {
        try
        {
            return Errors.Of((HonkerStatus)status, Message(status, error), NativeMethods.ErrorSqliteCode(error),
                NativeMethods.ErrorSqliteExtendedCode(error));
        }
        finally
        {
            NativeMethods.ErrorFree(error);
        }
    }

    internal static unsafe string Message(int status, nint error)
    {
        if (error == 0)
        {
            return $"honker answered {Marshal.PtrToStringUTF8(NativeMethods.StatusName(status))} ({status})";
        }
        var text = (byte*)NativeMethods.ErrorMessage(error, out var length);
        return Encoding.UTF8.GetString(text, checked((int)length));
    }

    /// <summary>A text that the library has handed over.</summary>
    internal static unsafe string Read(TextHandle text)
    {
        using (text)
        {
            Check(NativeMethods.TextGet(text, out var data, out var length, out var error), error);
            return Utf8.Text(data, length);
        }
    }

    /// <summary>The same as UTF-8, for a parser.</summary>
    internal static unsafe byte[] ReadBytes(TextHandle text)
    {
        using (text)
        {
            Check(NativeMethods.TextGet(text, out var data, out var length, out var error), error);
            return new ReadOnlySpan<byte>(data, checked((int)length)).ToArray();
        }
    }
}
