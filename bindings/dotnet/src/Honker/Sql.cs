using System.Globalization;
using System.Text;
using Honker.Native;

namespace Honker;

/// <summary>A statement of the user's and its parameters, as the library takes them.</summary>
internal static class Sql
{
    /// <summary>
    /// The library's parameters go by number, ?1 for the first; @p0 is that one, wherever it stands. What stands in texts, names
    /// and comments is left alone.
    /// </summary>
    internal static string Numbered(string sql)
    {
        ArgumentNullException.ThrowIfNull(sql);
        if (!sql.Contains("@p", StringComparison.Ordinal))
        {
            return sql;
        }
        var text = new StringBuilder(sql.Length);
        for (var i = 0; i < sql.Length;)
        {
            var end = Quoted(sql, i);
            if (end > i)
            {
                text.Append(sql, i, end - i);
                i = end;
                continue;
            }
            if (sql[i] == '@' && i + 1 < sql.Length && sql[i + 1] == 'p')
            {
                var digits = i + 2;
                while (digits < sql.Length && char.IsAsciiDigit(sql[digits]))
                {
                    digits++;
                }
                if (digits - i is > 2 and < 8 && (digits == sql.Length || !(char.IsLetterOrDigit(sql[digits]) || sql[digits] == '_')))
                {
                    text.Append('?').Append(int.Parse(sql.AsSpan(i + 2, digits - i - 2), NumberStyles.None, CultureInfo.InvariantCulture) + 1);
                    i = digits;
                    continue;
                }
            }
            text.Append(sql[i++]);
        }
        return text.ToString();
    }

    /// <summary>Where what begins at <paramref name="at"/> ends, if that is a text, a name or a comment.</summary>
    private static int Quoted(string sql, int at)
    {
        var (begin, end) = sql[at] switch
        {
            '\'' => ("'", "'"),
            '"' => ("\"", "\""),
            '`' => ("`", "`"),
            '[' => ("[", "]"),
            '-' when sql.AsSpan(at).StartsWith("--") => ("--", "\n"),
            '/' when sql.AsSpan(at).StartsWith("/*") => ("/*", "*/"),
            _ => ("", ""),
        };
        if (begin.Length == 0)
        {
            return at;
        }
        var found = sql.IndexOf(end, at + begin.Length, StringComparison.Ordinal);
        return found < 0 ? sql.Length : found + end.Length;
    }

    internal static unsafe Value* Parameters(Arena arena, object?[]? args)
    {
        if (args is null || args.Length == 0)
        {
            return null;
        }
        var values = arena.Array<Value>(args.Length);
        for (var i = 0; i < args.Length; i++)
        {
            values[i] = Parameter(arena, args[i], i);
        }
        return values;
    }

    // As Microsoft.Data.Sqlite stores them.
    private static unsafe Value Parameter(Arena arena, object? value, int index)
    {
        Value Text(string text) => new() { ValueType = Abi.TypeText, Bytes = arena.Text(Utf8.Of(text, $"@p{index}")) };
        Value Integer(long number) => new() { ValueType = Abi.TypeInteger, Integer = number };

        switch (value)
        {
            case null or DBNull:
                return new Value { ValueType = Abi.TypeNull };
            case string text:
                return Text(text);
            case byte[] blob:
                return new Value { ValueType = Abi.TypeBlob, Bytes = arena.Text(blob) };
            case ReadOnlyMemory<byte> blob:
                return new Value { ValueType = Abi.TypeBlob, Bytes = arena.Text(blob.ToArray()) };
            case bool flag:
                return Integer(flag ? 1 : 0);
            case double or float:
                return new Value { ValueType = Abi.TypeReal, Real = Convert.ToDouble(value, CultureInfo.InvariantCulture) };
            case decimal number:
                return Text(number.ToString("0.0###########################", CultureInfo.InvariantCulture));
            case sbyte or byte or short or ushort or int or uint or long or Enum:
                return Integer(Convert.ToInt64(value, CultureInfo.InvariantCulture));
            case ulong number:
                return Integer(checked((long)number));
            case char letter:
                return Text(letter.ToString());
            case DateTime time:
                return Text(time.ToString(@"yyyy\-MM\-dd HH\:mm\:ss.FFFFFFF", CultureInfo.InvariantCulture));
            case DateTimeOffset time:
                return Text(time.ToString(@"yyyy\-MM\-dd HH\:mm\:ss.FFFFFFFzzz", CultureInfo.InvariantCulture));
            case DateOnly date:
                return Text(date.ToString(@"yyyy\-MM\-dd", CultureInfo.InvariantCulture));
            case TimeSpan time:
                return Text(time.ToString("c"));
            case Guid guid:
                return Text(guid.ToString().ToUpperInvariant());
            default:
                throw new ArgumentException($"@p{index} is a {value.GetType()}, which SQLite does not store: give a number, a text or bytes");
        }
    }
}
