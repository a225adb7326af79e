"""C and C++: the tarball, unpacked anywhere, found by pkg-config and by CMake."""

from proofs import Proof, readme
from readme import samples

CMAKE = """cmake_minimum_required(VERSION 3.18)
project(app CXX)
find_package(honker REQUIRED)
add_executable(shared worker.cpp)
target_link_libraries(shared PRIVATE honker::honker)
add_executable(static worker.cpp)
target_link_libraries(static PRIVATE honker::cpp)
"""
INCLUDE, _, FIRST = samples(readme("cpp"), "cpp")[0].partition("\n")
FIRST = f"{INCLUDE}\n#include <iostream>\n#include <nlohmann/json.hpp>\nint main() {{\n{FIRST}}}\n"
WORKER = """#include <fstream>
#include <string>
#include "honker.hpp"

int main() {
  honker::Database db{"/shared/app.db"};
  auto ping = db.queue("ping");
  auto jobs = ping.jobs("cpp");
  std::ofstream("/shared/waiting").close();
  if (auto job = jobs.next()) {
    db.queue("pong").enqueue("{\\"to\\":" + std::string(job->payload()) + ",\\"from\\":\\"cpp\\"}");
    job->ack();
  }
}
"""
INSTALL = """set -e
mkdir -p opt && tar -xzf /dist/c/honker-*-linux-x64-gnu.tar.gz -C opt --strip-components=1
"""
FLAGS = "export PKG_CONFIG_PATH=$HOME/opt/lib/pkgconfig LD_LIBRARY_PATH=$HOME/opt/lib"

PROOF = Proof(
    name="c",
    debian=["g++", "cmake", "make", "pkg-config", "nlohmann-json3-dev"],
    compiles=True,
    install=INSTALL,
    example={"first.cpp": FIRST},
    run_example=f"{FLAGS}; c++ -std=c++17 first.cpp $(pkg-config --cflags --libs honker) -pthread -o first && ./first",
    says="hello, world!",
    worker={"worker.cpp": WORKER, "CMakeLists.txt": CMAKE},
    build_worker="cmake -S . -B build -DCMAKE_PREFIX_PATH=$HOME/opt && cmake --build build",
    run_worker="build/static",
    files=["c/honker-*-linux-x64-gnu.tar.gz"],
)
