using System.Runtime.InteropServices;

namespace Honker.Native;

/// <summary>
/// What libhonker has made. It checks every handle in every call and follows none, so that one which is freed while another
/// thread uses it is an error there, and nothing worse.
/// </summary>
internal abstract class NativeHandle() : SafeHandle(0, true)
{
    public override bool IsInvalid => handle == 0;
}
