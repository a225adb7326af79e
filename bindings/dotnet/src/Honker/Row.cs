using System.Collections;
using System.Globalization;
using Honker.Native;

namespace Honker;

/// <summary>A row of a query. A column is null, a <see cref="long"/>, a <see cref="double"/>, a <see cref="string"/> or a byte[].</summary>
public sealed class Row : IReadOnlyList<object?>
{
    private readonly string[] columns;
    private readonly object?[] values;

    private Row(string[] columns, object?[] values)
    {
        this.columns = columns;
        this.values = values;
    }

    /// <summary>The names of the columns.</summary>
    public IReadOnlyList<string> Columns => columns;

    /// <summary>How many columns there are.</summary>
    public int Count => values.Length;

    /// <summary>A column, counted from 0.</summary>
    /// <param name="index">The index of the column.</param>
    public object? this[int index] => values[index];

    /// <summary>A column by its name; the first that has it.</summary>
    /// <param name="column">The name of the column.</param>
    public object? this[string column]
    {
        get
        {
            var index = Array.IndexOf(columns, column);
            return index >= 0 ? values[index] : throw new KeyNotFoundException($"there is no column {column}");
        }
    }

    /// <summary>A column as another type that it can be converted to, an int for example.</summary>
    /// <typeparam name="T">That type; for what may be null one that may be.</typeparam>
    /// <param name="column">The name of the column.</param>
    /// <returns>The value.</returns>
    public T Get<T>(string column) => Convert<T>(this[column]);

    /// <summary>A column as another type that it can be converted to.</summary>
    /// <typeparam name="T">That type; for what may be null one that may be.</typeparam>
    /// <param name="index">Which, counted from 0.</param>
    /// <returns>The value.</returns>
    public T Get<T>(int index) => Convert<T>(values[index]);

    /// <inheritdoc/>
    public IEnumerator<object?> GetEnumerator() => ((IEnumerable<object?>)values).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => values.GetEnumerator();

    private static T Convert<T>(object? value)
    {
        if (value is T same)
        {
            return same;
        }
        if (value is null)
        {
            return default(T) is null ? default! : throw new InvalidCastException($"NULL is no {typeof(T)}");
        }
        return (T)System.Convert.ChangeType(value, Nullable.GetUnderlyingType(typeof(T)) ?? typeof(T), CultureInfo.InvariantCulture);
    }

    internal static unsafe IReadOnlyList<Row> Read(RowsHandle handle)
    {
        using (handle)
        {
            Calls.Check(NativeMethods.RowsSize(handle, out var count, out var width, out var error), error);
            var columns = new string[width];
            for (nuint i = 0; i < width; i++)
            {
                Calls.Check(NativeMethods.RowsColumn(handle, i, out var name, out var length, out error), error);
                columns[i] = Utf8.Text(name, length);
            }
            var rows = new Row[count];
            Value value;
            for (nuint row = 0; row < count; row++)
            {
                var values = new object?[width];
                for (nuint i = 0; i < width; i++)
                {
                    Calls.Check(NativeMethods.RowsGet(handle, row, i, &value, out error), error);
                    values[i] = (int)value.ValueType switch
                    {
                        Abi.TypeInteger => value.Integer,
                        Abi.TypeReal => value.Real,
                        Abi.TypeText => Utf8.Text(value.Bytes),
                        Abi.TypeBlob => new ReadOnlySpan<byte>(value.Bytes.Data, checked((int)value.Bytes.Len)).ToArray(),
                        _ => null,
                    };
                }
                rows[row] = new Row(columns, values);
            }
            return rows;
        }
    }
}
