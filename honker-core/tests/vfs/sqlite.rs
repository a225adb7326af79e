//! Two copies of SQLite under one interface: the bundled one, and the system's, loaded beside it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use rusqlite::ffi;

pub const BUSY: c_int = ffi::SQLITE_BUSY;
pub const READ_WRITE: c_int = ffi::SQLITE_OPEN_READWRITE | ffi::SQLITE_OPEN_CREATE;
pub const READ_ONLY: c_int = ffi::SQLITE_OPEN_READONLY;

type Row = unsafe extern "C" fn(*mut c_void, c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;

type Open = unsafe extern "C" fn(*const c_char, *mut *mut ffi::sqlite3, c_int, *const c_char) -> c_int;
type Close = unsafe extern "C" fn(*mut ffi::sqlite3) -> c_int;
type Exec = unsafe extern "C" fn(
    *mut ffi::sqlite3,
    *const c_char,
    Option<Row>,
    *mut c_void,
    *mut *mut c_char,
) -> c_int;
type Message = unsafe extern "C" fn(*mut ffi::sqlite3) -> *const c_char;
type Code = unsafe extern "C" fn(*mut ffi::sqlite3) -> c_int;

/// One copy of SQLite.
pub struct Sqlite {
    open: Open,
    close: Close,
    exec: Exec,
    message: Message,
    code: Code,
}

/// What SQLite answered instead of what it was asked for.
pub struct Failure {
    pub code: c_int,
    pub text: String,
}

impl Failure {
    pub fn is_busy(&self) -> bool {
        self.code & 0xff == BUSY
    }
}

impl std::fmt::Debug for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.text, self.code)
    }
}

/// The bundled copy, lock-safe if [`honker_core::vfs::install`] has been called.
pub fn bundled() -> &'static Sqlite {
    static BUNDLED: Sqlite = Sqlite {
        open: ffi::sqlite3_open_v2,
        close: ffi::sqlite3_close,
        exec: ffi::sqlite3_exec,
        message: ffi::sqlite3_errmsg,
        code: ffi::sqlite3_extended_errcode,
    };
    &BUNDLED
}

/// The bundled copy, lock-safe.
pub fn safe() -> &'static Sqlite {
    assert!(honker_core::vfs::install(), "lock-safe file access is not active");
    bundled()
}

/// The system's copy, stock.
pub fn system() -> &'static Sqlite {
    static SYSTEM: OnceLock<Sqlite> = OnceLock::new();
    SYSTEM.get_or_init(|| {
        // SAFETY: the name is NUL-terminated; SQLite's initialisers are harmless.
        let library = unsafe { libc::dlopen(c"libsqlite3.so.0".as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "there is no libsqlite3.so.0 (Debian: libsqlite3-0)");
        let symbol = |name: &CStr| {
            // SAFETY: the library is open, and stays so; the name is NUL-terminated.
            let symbol = unsafe { libc::dlsym(library, name.as_ptr()) };
            assert!(!symbol.is_null(), "{name:?}");
            symbol
        };
        let open = symbol(c"sqlite3_open_v2");
        assert_ne!(open.cast_const(), ffi::sqlite3_open_v2 as *const c_void, "this is the bundled copy");
        // SAFETY: these are the functions' types in every SQLite 3.
        unsafe {
            Sqlite {
                open: std::mem::transmute::<*mut c_void, Open>(open),
                close: std::mem::transmute::<*mut c_void, Close>(symbol(c"sqlite3_close")),
                exec: std::mem::transmute::<*mut c_void, Exec>(symbol(c"sqlite3_exec")),
                message: std::mem::transmute::<*mut c_void, Message>(symbol(c"sqlite3_errmsg")),
                code: std::mem::transmute::<*mut c_void, Code>(symbol(c"sqlite3_extended_errcode")),
            }
        }
    })
}

/// A connection through either copy.
pub struct Connection {
    sqlite: &'static Sqlite,
    db: *mut ffi::sqlite3,
}

// SAFETY: both copies are built to be used by any thread.
unsafe impl Send for Connection {}

impl Sqlite {
    pub fn open(&'static self, path: &Path, flags: c_int) -> Result<Connection, Failure> {
        let name = CString::new(path.to_str().unwrap()).unwrap();
        let mut db = ptr::null_mut();
        // SAFETY: the name is NUL-terminated. There is a handle also after a failure; dropping the connection closes it.
        let code = unsafe { (self.open)(name.as_ptr(), &raw mut db, flags, ptr::null()) };
        let connection = Connection { sqlite: self, db };
        connection.check(code).map(|()| connection)
    }

    /// A connection for reading and writing; panics if there is none.
    #[track_caller]
    pub fn connect(&'static self, path: &Path) -> Connection {
        self.open(path, READ_WRITE).unwrap()
    }
}

impl Connection {
    fn check(&self, code: c_int) -> Result<(), Failure> {
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        // SAFETY: the handle is open, and the message is valid until its next use.
        let (code, text) = unsafe {
            ((self.sqlite.code)(self.db), CStr::from_ptr((self.sqlite.message)(self.db)).to_string_lossy())
        };
        Err(Failure { code, text: text.into_owned() })
    }

    /// Runs statements; the first column of the last row, if there was one.
    pub fn query(&self, sql: &str) -> Result<Option<String>, Failure> {
        unsafe extern "C" fn row(
            last: *mut c_void,
            columns: c_int,
            values: *mut *mut c_char,
            _: *mut *mut c_char,
        ) -> c_int {
            // SAFETY: it is the option below; SQLite passes as many NUL-terminated strings or NULLs as there are columns.
            unsafe {
                if columns > 0 && !(*values).is_null() {
                    *last.cast::<Option<String>>() =
                        Some(CStr::from_ptr(*values).to_string_lossy().into_owned());
                }
            }
            0
        }
        let sql = CString::new(sql).unwrap();
        let mut last: Option<String> = None;
        // SAFETY: the handle is open, the text NUL-terminated, and `row` gets what it expects.
        let code = unsafe {
            (self.sqlite.exec)(self.db, sql.as_ptr(), Some(row), (&raw mut last).cast(), ptr::null_mut())
        };
        self.check(code).map(|()| last)
    }

    pub fn run(&self, sql: &str) -> Result<(), Failure> {
        self.query(sql).map(drop)
    }

    pub fn integer(&self, sql: &str) -> Result<i64, Failure> {
        Ok(self.query(sql)?.expect("a row").parse().expect("an integer"))
    }

    /// Runs a statement that answers BUSY and nothing else.
    #[track_caller]
    pub fn is_busy(&self, sql: &str) {
        let failure = self.run(sql).expect_err("it should be BUSY");
        assert!(failure.is_busy(), "{failure:?}");
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and no statement of it exists.
        unsafe { (self.sqlite.close)(self.db) };
    }
}

/// Repeats `attempt` while it is BUSY.
pub fn patiently<T>(mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    loop {
        match attempt() {
            Err(failure) if failure.is_busy() => std::thread::sleep(Duration::from_micros(200)),
            outcome => return outcome,
        }
    }
}
