"""Java: Maven, offline, from a repository of files; what Maven itself needs, and JNA, is lent to it."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import repository
import toolchain
from proofs import Proof, readme
from readme import samples

POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>app</groupId>
  <artifactId>app</artifactId>
  <version>1</version>
  <properties>
    <maven.compiler.release>17</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    <dependency>
      <groupId>dev.honker</groupId>
      <artifactId>honker</artifactId>
      <version>@VERSION@</version>
    </dependency>
  </dependencies>
  <build>
    <pluginManagement>
      <plugins>
        <plugin><artifactId>maven-resources-plugin</artifactId><version>3.3.1</version></plugin>
        <plugin><artifactId>maven-compiler-plugin</artifactId><version>3.14.1</version></plugin>
        <plugin><artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version></plugin>
      </plugins>
    </pluginManagement>
  </build>
</project>
"""
SETTINGS = """<settings>
  <mirrors>
    <mirror><id>lent</id><mirrorOf>central</mirrorOf><url>file:///lent/m2</url></mirror>
  </mirrors>
  <profiles>
    <profile>
      <id>dist</id>
      <repositories><repository><id>dist</id><url>file:///dist/jvm/repository</url></repository></repositories>
    </profile>
  </profiles>
  <activeProfiles><activeProfile>dist</activeProfile></activeProfiles>
</settings>
"""
MAVEN = "mvn -q -B -s settings.xml"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
INSTALL = f"""set -e
test ! -e /lent/m2/dev/honker
{MAVEN} compile {COPY} -DincludeScope=runtime
ls target/dependency
"""
# A file without a class is what Java 21 and newer know only as a preview: imports first, the rest inside.
FIRST_IMPORT, _, FIRST_REST = samples(readme("jvm"), "java")[0].partition("\n")
FIRST = f"{FIRST_IMPORT}\n\nclass First {{\n  public static void main(String[] args) {{\n{FIRST_REST}  }}\n}}\n"
WORKER = """import dev.honker.Honker;
import java.nio.file.Files;
import java.nio.file.Path;

class Worker {
  public static void main(String[] args) throws Exception {
    try (var db = Honker.open("/shared/app.db")) {
      try (var worker = db.queue("ping").worker("java")) {
        Files.createFile(Path.of("/shared/waiting"));
        var job = worker.next().orElseThrow();
        db.queue("pong").enqueue("{\\"to\\":" + job.payloadJson() + ",\\"from\\":\\"java\\"}");
        job.ack();
      }
    }
  }
}
"""


def _mirror() -> Path | None:
    """A repository of what building such a project takes, without ours; from Maven Central, once."""
    project = POM.replace("@VERSION@", repository.version())
    folder = repository.TARGET / "release-tools" / f"maven-{hashlib.sha256(project.encode()).hexdigest()[:12]}"
    if not folder.is_dir() and toolchain.find("mvn") and toolchain.find("javac"):
        with tempfile.TemporaryDirectory() as scratch:
            source = Path(scratch) / "src/main/java/Empty.java"
            source.parent.mkdir(parents=True)
            source.write_text("class Empty {}\n")
            packed = f"<repository><id>dist</id><url>file://{repository.DIST}/jvm/repository</url></repository>"
            described = project.replace("</project>", f"<repositories>{packed}</repositories></project>")
            (Path(scratch) / "pom.xml").write_text(described)
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            command = ["mvn", "-q", "-B", f"-Dmaven.repo.local={part}", "compile", COPY, "-DincludeScope=runtime"]
            if subprocess.run(command, cwd=scratch).returncode == 0:
                shutil.rmtree(part / "dev/honker")
                part.rename(folder)
    return folder if folder.is_dir() else None


PROOF = Proof(
    name="jvm",
    debian=["maven", "default-jdk-headless"],
    brought={
        "pom.xml": POM.replace("@VERSION@", repository.version()),
        "settings.xml": SETTINGS,
        "src/main/java/First.java": FIRST,
        "src/main/java/Worker.java": WORKER,
    },
    compiles=True,
    install=INSTALL,
    example={},
    run_example="java -cp 'target/classes:target/dependency/*' First",
    says='claimed {"name":"world"}',
    run_worker="java -cp 'target/classes:target/dependency/*' Worker",
    lends={"/lent/m2": _mirror},
    files=[f"jvm/repository/dev/honker/honker/*/honker-{repository.version()}.jar"],
)
