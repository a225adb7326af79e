"""Java: Maven, offline, from a repository of files; a mirror of what Maven itself needs is lent to it."""

from pathlib import Path

import repository
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
INSTALL = f"""set -e
test ! -e /lent/m2/dev/honker
{MAVEN} compile org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime
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


def _repository() -> Path | None:
    folder = Path.home() / ".m2/repository"
    return folder if (folder / "net/java/dev/jna").is_dir() and not (folder / "dev/honker").exists() else None


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
    lends={"/lent/m2": _repository},
    files=[f"jvm/repository/dev/honker/honker/*/honker-{repository.version()}.jar"],
)
