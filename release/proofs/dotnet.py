""".NET: dotnet add package, from a folder of packages. The SDK, which Debian does not have, is this machine's."""

import os
import shutil
from pathlib import Path

from proofs import Proof, readme
from readme import samples

PROJECT = """<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net10.0</TargetFramework>
    <ImplicitUsings>enable</ImplicitUsings>
    <Nullable>enable</Nullable>
    <InvariantGlobalization>true</InvariantGlobalization>
  </PropertyGroup>
</Project>
"""
SOURCES = """<configuration>
  <packageSources>
    <clear />
    <add key="dist" value="/dist/dotnet" />
    <add key="lent" value="/lent/nuget" />
  </packageSources>
</configuration>
"""
ENVIRONMENT = """
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 DOTNET_GENERATE_ASPNET_CERTIFICATE=false
export DOTNET_SKIP_FIRST_TIME_EXPERIENCE=1 MSBUILDDISABLENODEREUSE=1 DOTNET_CLI_USE_MSBUILD_SERVER=0
export DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1 UseSharedCompilation=false
"""
INSTALL = f"""set -e
{ENVIRONMENT}
for name in first worker; do (cd $name && dotnet add package Honker); done
"""
WORKER = """using Honker;

using var db = Database.Open("/shared/app.db");
File.WriteAllText("/shared/waiting", "");
await foreach (var job in db.Queue("ping").ClaimAsync("dotnet"))
{
    db.Queue("pong").Enqueue(new { to = job.Payload, from = "dotnet" });
    job.Ack();
    break;
}
"""
SDK = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "honker/dotnet"


def _sdk() -> Path | None:
    """As bindings/dotnet/tests/sdk finds it."""
    there = shutil.which("dotnet")
    places = [Path(there).resolve().parent] if there else []
    places += [Path(named)] if (named := os.environ.get("DOTNET_ROOT")) else []
    return next((place for place in [*places, SDK / "dotnet"] if (place / "dotnet").is_file()), None)


def _packages() -> Path | None:
    """Those that the SDK came with, or that were there to compile ours."""
    for folder in (SDK / "packages", SDK / "source", SDK / "nuget", Path.home() / ".nuget/packages"):
        if list(folder.rglob("microsoft.extensions.logging.abstractions*.nupkg")):
            return folder
    return None


PROOF = Proof(
    name="dotnet",
    debian=["libstdc++6"],
    brought={
        "NuGet.Config": SOURCES,
        "first/first.csproj": PROJECT,
        "worker/worker.csproj": PROJECT,
        "worker/Program.cs": WORKER,
    },
    install=INSTALL,
    example={"first/Program.cs": samples(readme("dotnet"), "csharp")[0]},
    run_example=f"{ENVIRONMENT} cd first && dotnet run",
    says="hello, world!",
    build_worker=f"{ENVIRONMENT} cd worker && dotnet build --nologo -v quiet",
    run_worker=f"{ENVIRONMENT} cd worker && dotnet run --no-build",
    lends={"/usr/local/dotnet": _sdk, "/lent/nuget": _packages},
    path="/usr/local/dotnet",
    files=["dotnet/Honker.[0-9]*.nupkg"],
)
