# frozen_string_literal: true

# Compiles libhonker and the loadable extension with cargo, where there is no gem for the platform. What it writes is a Makefile,
# as RubyGems expects.
here = __dir__
rust = File.join(here, "rust")
target = File.join(Dir.pwd, "target")
native = File.expand_path("../../lib/honker/native", here)
suffix = { /darwin/ => ["lib", "dylib"], /mingw|mswin/ => ["", "dll"] }.find { |os, _| RUBY_PLATFORM =~ os }&.last
prefix, extension = suffix || %w[lib so]
built = %w[honker honker_ext].map { |name| File.join(target, "release", "#{prefix}#{name}.#{extension}") }

abort "honker: cargo is missing. Install Rust from https://rustup.rs, or use a platform that has a gem." unless
  system("cargo", "--version", out: File::NULL)

# The extension alone, for it takes SQLite from its host.
build = %w[honker-ffi honker-extension].map do |package|
  "\tcd '#{rust}' && HONKER_COMMIT=`cat COMMIT` cargo build --release --locked --target-dir '#{target}' -p #{package}"
end
File.write("Makefile", <<~MAKE)
  all:
  #{build.join("\n")}
  install: all
  \tmkdir -p '#{native}' && cp #{built.map { |file| "'#{file}'" }.join(" ")} '#{native}'
  clean:
  \trm -rf '#{target}'
MAKE
