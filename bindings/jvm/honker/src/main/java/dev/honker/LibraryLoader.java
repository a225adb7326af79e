package dev.honker;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import com.sun.jna.NativeLibrary;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.FutureTask;
import java.util.stream.Stream;

/**
 * Finds libhonker, checks that it is one that this package can use, and binds it, once for the
 * process: {@link OpenOptions#libraryPath}, the environment's HONKER_LIBRARY, the copy in the jar,
 * next to the executable, the system. The first two are orders: if what they name cannot be used,
 * that is an error, and nothing else is tried.
 */
final class LibraryLoader {
  private static HonkerLibrary loaded;
  private static Path loadedFrom;

  /** How many may be in a call of the library's: databases, and the threads that wait for them. */
  private static int users;

  private LibraryLoader() {}

  /** The library of this process; `explicit` may be null. */
  static synchronized HonkerLibrary load(Path explicit) {
    if (loaded != null) {
      if (explicit != null && !isSameFile(explicit, loadedFrom)) {
        throw new HonkerLoadException(
            "cannot load "
                + explicit
                + ": this process uses "
                + loadedFrom
                + " already, and one libhonker is all that a process can use");
      }
      return loaded;
    }
    if (explicit != null) return named(explicit, "OpenOptions.libraryPath");
    String variable = System.getenv("HONKER_LIBRARY");
    if (variable != null && !variable.isEmpty()) return named(Path.of(variable), "HONKER_LIBRARY");
    return search();
  }

  /** Somebody begins to use the library. */
  static synchronized void use() {
    users++;
  }

  /** Somebody uses it no longer. */
  static synchronized void release() {
    users--;
  }

  /** See {@link Honker#unload}. */
  static synchronized void unload() {
    if (users > 0) {
      throw new HonkerException(
          "the library is in use: close all databases first", HonkerException.Status.MISUSE);
    }
    if (loaded == null) return;
    JnaLibrary.unbind();
    loaded = null;
    loadedFrom = null;
  }

  private static HonkerLibrary named(Path path, String by) {
    List<String> tried = new ArrayList<>();
    HonkerLibrary library = Files.isRegularFile(path) ? bind(path.toAbsolutePath(), tried) : null;
    if (library != null) return library;
    if (tried.isEmpty()) tried.add(path + ": no such file");
    throw new HonkerLoadException(
        "libhonker cannot be loaded from where " + by + " says it is: " + String.join("; ", tried));
  }

  private static HonkerLibrary search() {
    List<String> tried = new ArrayList<>();
    HonkerLibrary library = fromJar(tried);
    String java = ProcessHandle.current().info().command().orElse(null);
    Path directory = java == null ? null : Path.of(java).toAbsolutePath().getParent();
    if (library == null && directory != null) {
      Path beside = directory.resolve(fileName());
      if (Files.isRegularFile(beside)) {
        library = bind(beside, tried);
      } else {
        tried.add(beside + ": no such file");
      }
    }
    if (library == null) library = bind(Path.of(fileName()), tried);
    if (library != null) return library;
    throw new HonkerLoadException(
        "libhonker was not found. Give its path with OpenOptions.libraryPath or in the environment"
            + " variable HONKER_LIBRARY. Tried: "
            + String.join("; ", tried));
  }

  /**
   * The copy in the jar: from the user's cache directory or, where there is none that can be
   * written or that libraries may be loaded from, from a directory of this process alone.
   */
  private static HonkerLibrary fromJar(List<String> tried) {
    String resource = "/META-INF/native/" + platform() + "/" + fileName();
    byte[] content;
    try (InputStream in = LibraryLoader.class.getResourceAsStream(resource)) {
      if (in == null) {
        tried.add("the jar's " + resource + ": not there");
        return null;
      }
      content = in.readAllBytes();
    } catch (IOException e) {
      tried.add("the jar's " + resource + ": cannot be read: " + e);
      return null;
    }
    Path cache = cacheDirectory();
    HonkerLibrary library = null;
    if (cache == null) {
      tried.add("the jar's " + resource + ": the user has no directory to extract it to");
    } else {
      try {
        library = bind(extract(content, cache), tried);
      } catch (IOException e) {
        tried.add("the jar's " + resource + ": cannot be extracted to " + cache + ": " + e);
      }
    }
    return library == null ? fromTemporary(content, resource, tried) : library;
  }

  /** Nobody else can write to this directory, and it is gone at once, or when the process ends. */
  private static HonkerLibrary fromTemporary(byte[] content, String resource, List<String> tried) {
    try {
      Path directory = Files.createTempDirectory("honker-");
      Path file = directory.resolve(fileName());
      try {
        return bind(Files.write(file, content), tried);
      } finally {
        // Windows keeps a library that is loaded.
        for (Path path : List.of(file, directory)) {
          if (!path.toFile().delete()) path.toFile().deleteOnExit();
        }
      }
    } catch (IOException e) {
      tried.add("the jar's " + resource + ": cannot be extracted to a temporary directory: " + e);
      return null;
    }
  }

  /**
   * Null, and why in `tried`, if it cannot be loaded. On a thread of its own: JNA leaves values of
   * its classes with the thread, and starts threads that have its context class loader. Either
   * would keep the class loader of an application that is to be unloaded.
   */
  private static HonkerLibrary bind(Path path, List<String> tried) {
    FutureTask<HonkerLibrary> binding = new FutureTask<>(() -> bindHere(path, tried));
    Thread thread = new Thread(binding, "honker-load");
    thread.setContextClassLoader(null);
    thread.setDaemon(true);
    thread.start();
    HonkerLibrary library = Uninterrupted.get(binding);
    if (library == null) return null;
    loaded = library;
    loadedFrom = path;
    return library;
  }

  private static HonkerLibrary bindHere(Path path, List<String> tried) {
    try {
      NativeLibrary library = NativeLibrary.getInstance(path.toString());
      int version = library.getFunction("honker_abi_version").invokeInt(new Object[0]);
      if (!isCompatible(version)) {
        tried.add(
            path
                + ": has version "
                + dotted(version)
                + " of the interface, and this package needs "
                + dotted(Abi.VERSION)
                + " or a later one of the same major version");
        return null;
      }
      return JnaLibrary.bind(library);
    } catch (UnsatisfiedLinkError e) {
      tried.add(path + ": " + String.valueOf(e.getMessage()).lines().findFirst().orElse(""));
      return null;
    }
  }

  static boolean isCompatible(int version) {
    return version >>> 16 == Abi.VERSION >>> 16 && (version & 0xffff) >= (Abi.VERSION & 0xffff);
  }

  private static String dotted(int version) {
    return (version >>> 16) + "." + (version & 0xffff);
  }

  /**
   * The file with this content in the cache directory, which is named by it, so that versions do
   * not meet. It is moved there when it is whole: any number of processes may do this at once.
   */
  static Path extract(byte[] content, Path cache) throws IOException {
    Path directory = cache.resolve(sha256(content));
    Path file = directory.resolve(fileName());
    if (Files.isRegularFile(file) && sha256(Files.readAllBytes(file)).equals(sha256(content))) {
      return file;
    }
    Files.createDirectories(directory);
    Path part = Files.createTempFile(directory, fileName(), ".part");
    try {
      Files.write(part, content);
      try {
        Files.move(part, file, StandardCopyOption.ATOMIC_MOVE);
      } catch (AtomicMoveNotSupportedException e) {
        Files.move(part, file, StandardCopyOption.REPLACE_EXISTING);
      }
    } finally {
      Files.deleteIfExists(part);
    }
    return file;
  }

  /**
   * Where this user's libraries are kept; null if the system does not say. A user without an entry
   * in the system's list has the home "?", which would be a directory wherever the process is.
   */
  private static Path cacheDirectory() {
    if (isWindows()) {
      Path local = absolute(System.getenv("LOCALAPPDATA"));
      return local == null ? home("AppData", "Local", "honker") : local.resolve("honker");
    }
    if (isMac()) return home("Library", "Caches", "honker");
    Path cache = absolute(System.getenv("XDG_CACHE_HOME"));
    return cache == null ? home(".cache", "honker") : cache.resolve("honker");
  }

  private static Path home(String... below) {
    Path home = absolute(System.getProperty("user.home"));
    return home == null ? null : home.resolve(Path.of("", below));
  }

  private static Path absolute(String path) {
    return path != null && Path.of(path).isAbsolute() ? Path.of(path) : null;
  }

  static String platform() {
    String arch = System.getProperty("os.arch").toLowerCase(Locale.ROOT);
    if (arch.equals("amd64")) arch = "x86_64";
    if (arch.equals("arm64")) arch = "aarch64";
    String system = isWindows() ? "windows-" : isMac() ? "macos-" : "linux-";
    return system + arch + (system.equals("linux-") && isMusl() ? "-musl" : "");
  }

  /**
   * Whether this process runs with musl, Alpine's C library: the file of its dynamic linker is
   * among those that it has mapped.
   */
  private static boolean isMusl() {
    try (Stream<String> mapped = Files.lines(Path.of("/proc/self/maps"), ISO_8859_1)) {
      return mapped.anyMatch(line -> line.contains("/ld-musl-") || line.contains("/libc.musl-"));
    } catch (IOException | UncheckedIOException e) {
      return false; // without /proc there is no telling
    }
  }

  static String fileName() {
    return isWindows() ? "honker.dll" : isMac() ? "libhonker.dylib" : "libhonker.so";
  }

  private static boolean isWindows() {
    return os().startsWith("windows");
  }

  private static boolean isMac() {
    return os().startsWith("mac");
  }

  private static String os() {
    return System.getProperty("os.name").toLowerCase(Locale.ROOT);
  }

  private static boolean isSameFile(Path one, Path other) {
    try {
      return Files.isSameFile(one, other);
    } catch (IOException e) {
      return false;
    }
  }

  private static String sha256(byte[] content) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e); // every Java has it
    }
  }
}
