//! Structs that can grow: their first field says how many bytes of them the other side knows.
//!
//! A caller compiled against an older header passes a shorter struct: what it does not know has its default, or is not
//! written. A caller compiled against a newer one passes a longer one: that is fine as long as it leaves at zero what
//! this library does not know.

use crate::entry::{Failure, Outputs, Result, null_output};
use crate::status::{HONKER_INVALID, HONKER_NULL_ARG, HONKER_UNSUPPORTED};

/// A `repr(C)` struct of numbers and pointers that begins with `uint32_t struct_size` and `uint32_t reserved`, without
/// padding.
///
/// # Safety
/// Exactly that: any bytes are a value of it, and all of its bytes are initialised.
pub(crate) unsafe trait Sized32: Copy {}

const HEAD: usize = 8;
const RESERVED: std::ops::Range<usize> = 4..HEAD;

/// The options that a caller passes; the defaults if that is NULL.
///
/// # Safety
/// `options` is NULL or points to a struct whose first field is its true size.
pub(crate) unsafe fn read<T: Sized32>(argument: &str, options: *const T, defaults: T) -> Result<T> {
    if options.is_null() {
        return Ok(defaults);
    }
    // SAFETY: the caller vouches for it.
    let size = unsafe { size_of_struct(argument, options.cast()) }?;
    let known = size.min(size_of::<T>());
    // SAFETY: the caller vouches for `size` bytes.
    let bytes = unsafe { std::slice::from_raw_parts(options.cast::<u8>(), size) };
    // What is reserved is as unknown as what is beyond the end.
    if bytes[RESERVED].iter().chain(&bytes[known..]).any(|byte| *byte != 0) {
        return Err(Failure::new(
            HONKER_UNSUPPORTED,
            format!("{argument} sets something that this library, which is older, does not know"),
        ));
    }
    let mut read = defaults;
    // SAFETY: both are valid for `known` bytes, and any bytes are a `T`.
    unsafe {
        std::ptr::copy_nonoverlapping(options.cast::<u8>(), (&raw mut read).cast(), known);
    }
    Ok(read)
}

/// The structs of an array that a caller passes, each as long as the first says.
///
/// # Safety
/// `items` is valid for `len` structs, the first field of the first of which is the true size of each.
pub(crate) unsafe fn read_all<T: Sized32>(
    argument: &str,
    items: *const T,
    len: usize,
    defaults: T,
) -> Result<Vec<T>> {
    if len == 0 {
        return Ok(Vec::new());
    }
    if items.is_null() {
        return Err(Failure::new(HONKER_NULL_ARG, format!("{argument} is NULL")));
    }
    // SAFETY: the caller vouches for it.
    let size = unsafe { size_of_struct(argument, items.cast()) }?;
    if len > isize::MAX as usize / size {
        return Err(Failure::new(HONKER_INVALID, format!("{argument}: a length of {len} cannot be right")));
    }
    let mut read_items = Vec::new();
    for index in 0..len {
        // SAFETY: the caller vouches for `len` structs of `size` bytes.
        let item = unsafe { items.cast::<u8>().add(index * size).cast::<T>() };
        // SAFETY: as above: its own size is compared before it is believed.
        let own_size = unsafe { size_of_struct(argument, item.cast()) }?;
        if own_size != size {
            return Err(Failure::new(
                HONKER_INVALID,
                format!("{argument}: the struct_size of one is {own_size}, and {size} of the first"),
            ));
        }
        // SAFETY: the caller vouches for `size` bytes.
        read_items.push(unsafe { read(argument, item, defaults) }?);
    }
    Ok(read_items)
}

/// As [`read`], where NULL is an error.
///
/// # Safety
/// As for [`read`].
pub(crate) unsafe fn read_required<T: Sized32>(argument: &str, options: *const T, defaults: T) -> Result<T> {
    if options.is_null() {
        return Err(Failure::new(HONKER_NULL_ARG, format!("{argument} is NULL")));
    }
    // SAFETY: the caller vouches for it.
    unsafe { read(argument, options, defaults) }
}

/// The view that a caller passes to be filled in, as an output of `entry`.
pub(crate) struct Out<T>(pub(crate) *mut T);

/// A view that has been cleared.
pub(crate) struct Cell<T> {
    out: *mut T,
    size: usize,
}

impl<T: Sized32> Outputs for Out<T> {
    type Cells = Cell<T>;

    unsafe fn clear(self, name: &str) -> Result<Cell<T>> {
        if self.0.is_null() {
            return Err(null_output(name));
        }
        // SAFETY: the caller vouches for it: this is a struct that begins with its size.
        let size = unsafe { size_of_struct("the output", self.0.cast()) }?;
        // SAFETY: the caller vouches for `size` bytes; the head is not among them.
        unsafe { self.0.cast::<u8>().add(HEAD).write_bytes(0, size - HEAD) };
        Ok(Cell { out: self.0, size })
    }
}

impl<T: Sized32> Cell<T> {
    /// Fills it in, as far as the caller knows it.
    pub(crate) fn set(&self, view: T) {
        let known = self.size.min(size_of::<T>());
        // SAFETY: `Out::clear` made this from a pointer that its caller vouched for; both are valid for `known` bytes,
        // and the view has no padding.
        unsafe {
            let from = (&raw const view).cast::<u8>().add(HEAD);
            std::ptr::copy_nonoverlapping(from, self.out.cast::<u8>().add(HEAD), known - HEAD);
        }
    }
}

/// An array of views that a caller passes to be filled in, as an output of `entry`. Only the first has to be initialised:
/// all are as long as it says.
pub(crate) struct OutArray<T> {
    pub(crate) views: *mut T,
    pub(crate) len: usize,
}

/// Views that have been cleared, and say themselves how long they are.
pub(crate) struct ArrayCell<T> {
    out: OutArray<T>,
    size: usize,
}

impl<T: Sized32> Outputs for OutArray<T> {
    type Cells = ArrayCell<T>;

    unsafe fn clear(self, name: &str) -> Result<ArrayCell<T>> {
        if self.len == 0 {
            return Ok(ArrayCell { out: self, size: HEAD });
        }
        if self.views.is_null() {
            return Err(null_output(name));
        }
        // SAFETY: the caller vouches for it: there is at least one view, which begins with its size.
        let size = unsafe { size_of_struct("the first output", self.views.cast()) }?;
        if self.len > isize::MAX as usize / size {
            return Err(Failure::new(
                HONKER_INVALID,
                format!("{name}: a length of {} cannot be right", self.len),
            ));
        }
        let cells = ArrayCell { out: self, size };
        // SAFETY: the caller vouches for `len` views of `size` bytes.
        unsafe { cells.out.views.cast::<u8>().write_bytes(0, cells.out.len * size) };
        for index in 0..cells.out.len {
            // At most 4096.
            let head = (size as u32).to_ne_bytes();
            // SAFETY: this is the beginning of one of the views.
            unsafe { std::ptr::copy_nonoverlapping(head.as_ptr(), cells.at(index), head.len()) };
        }
        Ok(cells)
    }
}

impl<T: Sized32> ArrayCell<T> {
    /// Fills them in, each as far as the caller knows it, until there are no more of one or the other; how many those are.
    pub(crate) fn set(&self, views: impl ExactSizeIterator<Item = T>) -> usize {
        let len = views.len().min(self.out.len);
        for (index, view) in views.take(len).enumerate() {
            // SAFETY: `OutArray::clear` has looked at the array, and `index` is in it.
            let out = unsafe { self.at(index) };
            Cell { out: out.cast(), size: self.size }.set(view);
        }
        len
    }

    /// # Safety
    /// There is a view at `index`.
    unsafe fn at(&self, index: usize) -> *mut u8 {
        // SAFETY: so it is in the array.
        unsafe { self.out.views.cast::<u8>().add(index * self.size) }
    }
}

/// # Safety
/// `pointer` points to a struct that begins with its size.
unsafe fn size_of_struct(argument: &str, pointer: *const u32) -> Result<usize> {
    // SAFETY: the caller vouches for it. It may come from a language that does not align what it lays out by hand.
    let size = unsafe { pointer.read_unaligned() } as usize;
    // They all contain a 64-bit field, so that an odd size is a forgotten initialiser.
    if (HEAD..=4096).contains(&size) && size.is_multiple_of(align_of::<i64>()) {
        return Ok(size);
    }
    Err(Failure::new(
        HONKER_INVALID,
        format!(
            "{argument}: a struct_size of {size} bytes cannot be right; initialise it with its _INIT macro"
        ),
    ))
}
