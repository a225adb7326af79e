package dev.honker;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Where the library is looked for. A process has one, so each case is a process. */
class LibraryTest {
  @TempDir Path directory;

  private final List<String> javaOptions = new java.util.ArrayList<>();
  private final Map<String, String> environment = new java.util.HashMap<>();

  /** Opens a database, and says with which error or that it worked. */
  static final class Program {
    public static void main(String[] args) {
      OpenOptions.Builder options = OpenOptions.builder();
      if (args.length > 1) options.libraryPath(Path.of(args[1]));
      try (Database db = Honker.open(args[0], options.build())) {
        System.out.println("opened by " + db.library.getClass().getSimpleName());
      } catch (HonkerLoadException e) {
        System.out.println(e.getMessage());
      }
      if (args.length > 2) {
        try {
          Honker.open(args[0], options.libraryPath(Path.of(args[2])).build());
        } catch (HonkerLoadException e) {
          System.out.println(e.getMessage());
        }
      }
    }
  }

  private String run(String library, boolean withJar, String... args) throws Exception {
    String path =
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    List<String> entries = new java.util.ArrayList<>();
    for (String entry : path.split(java.io.File.pathSeparator))
      entries.add(withoutNative(Path.of(entry)));
    if (withJar) entries.add(directory.resolve("jar").toString());
    List<String> command = new java.util.ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    if (Runtime.version().feature() >= 24) {
      command.add("--enable-native-access=ALL-UNNAMED");
      command.add("--illegal-native-access=deny");
    }
    Path here = Files.createDirectories(directory.resolve("here"));
    Path temporary = Files.createDirectories(directory.resolve("temporary"));
    command.add("-Djava.io.tmpdir=" + temporary);
    command.add("-Djna.tmpdir=" + Files.createDirectories(directory.resolve("jna")));
    command.add("-XX:-UsePerfData"); // which leaves a directory among the temporary ones
    command.addAll(javaOptions);
    command.addAll(List.of("-cp", String.join(java.io.File.pathSeparator, entries)));
    command.add(Program.class.getName());
    command.add(directory.resolve("app.db").toString());
    command.addAll(List.of(args));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.directory(here.toFile());
    builder.environment().remove("HONKER_LIBRARY");
    builder.environment().put("XDG_CACHE_HOME", directory.resolve("cache").toString());
    builder.environment().putAll(environment);
    if (library != null) builder.environment().put("HONKER_LIBRARY", library);
    Process process = builder.start();
    try (InputStream out = process.getInputStream()) {
      String text = new String(out.readAllBytes(), StandardCharsets.UTF_8);
      assertEquals(0, process.waitFor(), text);
      return text;
    }
  }

  /** A directory of classes may have the library in it from an earlier build. */
  private String withoutNative(Path entry) throws IOException {
    if (!Files.isDirectory(entry.resolve("META-INF/native"))) return entry.toString();
    Path copy = directory.resolve("classes");
    try (Stream<Path> files = Files.walk(entry.resolve("dev"))) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Path target = copy.resolve(entry.relativize(file));
        Files.createDirectories(target.getParent());
        Files.copy(file, target, java.nio.file.StandardCopyOption.REPLACE_EXISTING);
      }
    }
    return copy.toString();
  }

  private static String library() {
    return System.getenv("HONKER_LIBRARY");
  }

  @Test
  void aFailureListsWhatWasTried() throws Exception {
    String said = run(null, false);
    for (String place :
        List.of(
            "META-INF/native/" + LibraryLoader.platform(),
            "bin",
            "libhonker",
            "HONKER_LIBRARY",
            "OpenOptions.libraryPath")) {
      assertTrue(said.contains(place), said);
    }
  }

  @Test
  void theVariable() throws Exception {
    assertEquals("opened by JnaLibrary", run(library(), false).strip());
    String said = run("/no/such/libhonker.so", false);
    assertTrue(
        said.contains("HONKER_LIBRARY") && said.contains("/no/such/libhonker.so: no such file"),
        said);
  }

  @Test
  void thePathComesFirst() throws Exception {
    assertEquals("opened by JnaLibrary", run("/no/such/libhonker.so", false, library()).strip());
    Path text = Files.writeString(directory.resolve("no-library.so"), "no library");
    String said = run(library(), false, text.toString());
    assertTrue(said.contains("libraryPath") && said.contains("no-library.so"), said);
  }

  @Test
  void aLibraryThatIsNotHonker() throws Exception {
    Path other = otherLibrary();
    String said = run(null, false, other.toString());
    assertTrue(said.contains("honker_abi_version"), said);
  }

  private static Path otherLibrary() throws IOException {
    try (Stream<Path> files = Files.walk(Path.of(System.getProperty("java.home"), "lib"))) {
      return files
          .filter(it -> it.getFileName().toString().startsWith("libzip."))
          .findFirst()
          .orElseThrow();
    }
  }

  @Test
  void aProcessHasOneLibrary() throws Exception {
    Path copy = Files.copy(Path.of(library()), directory.resolve("copy.so"));
    String said = run(null, false, library(), copy.toString());
    assertTrue(said.startsWith("opened") && said.contains("one libhonker"), said);
  }

  @Test
  void theCopyInTheJarIsExtractedOnce() throws Exception {
    putIntoJar();
    for (int i = 0; i < 2; i++) assertEquals("opened by JnaLibrary", run(null, true).strip());
    try (Stream<Path> files = Files.walk(directory.resolve("cache"))) {
      assertEquals(1, files.filter(Files::isRegularFile).count());
    }
  }

  private void putIntoJar() throws IOException {
    Path resource = directory.resolve("jar/META-INF/native").resolve(LibraryLoader.platform());
    Files.createDirectories(resource);
    Files.copy(Path.of(library()), resource.resolve(LibraryLoader.fileName()));
  }

  /** A user without an entry in the system's list of users; Java says "?" for the home. */
  @Test
  void aUserWithoutAHome() throws Exception {
    putIntoJar();
    environment.put("XDG_CACHE_HOME", "");
    javaOptions.add("-Duser.home=?");
    assertEquals("opened by JnaLibrary", run(null, true).strip());
    nothingIsLeft();
  }

  /** Whoever the tests run as, even root: nothing can be made below a file. */
  @Test
  void aHomeThatCannotBeWritten() throws Exception {
    putIntoJar();
    environment.put("XDG_CACHE_HOME", "");
    Path file = Files.writeString(directory.resolve("file"), "");
    javaOptions.add("-Duser.home=" + file);
    assertEquals("opened by JnaLibrary", run(null, true).strip());
    nothingIsLeft();
    javaOptions.add("-Djava.io.tmpdir=" + file);
    String said = run(null, true);
    assertTrue(said.contains(file + "/.cache/honker") && said.contains("temporary"), said);
  }

  /** Not where the process was, and not where it had to put the library. */
  private void nothingIsLeft() {
    assertArrayEquals(new String[0], directory.resolve("here").toFile().list());
    assertArrayEquals(new String[0], directory.resolve("temporary").toFile().list());
  }

  @Test
  void whatWasExtractedIsWhole() throws Exception {
    byte[] content = {1, 2, 3};
    Path file = LibraryLoader.extract(content, directory);
    Files.write(file, new byte[] {1}); // somebody has damaged it
    assertEquals(file, LibraryLoader.extract(content, directory));
    assertEquals(3, Files.size(file));
    assertFalse(file.equals(LibraryLoader.extract(new byte[] {4}, directory)));
  }

  @Test
  void versionsOfTheInterface() {
    assertTrue(LibraryLoader.isCompatible(Abi.VERSION));
    assertTrue(LibraryLoader.isCompatible(Abi.VERSION + 7));
    assertFalse(LibraryLoader.isCompatible(Abi.VERSION - 1), "older than what is called");
    assertFalse(LibraryLoader.isCompatible((Abi.VERSION >>> 16) + 1 << 16));
    assertFalse(LibraryLoader.isCompatible(0x0001ffff));
  }
}
