# frozen_string_literal: true

module Honker
  # Finds and loads libhonker, once in a process. Nothing here is for users.
  # @private
  module Library
    FILE = FFI.map_library_name("honker")
    BUNDLED = File.expand_path("native/#{FILE}", __dir__)
    LOCK = Mutex.new

    class << self
      # @return [String, nil] what is loaded: a path, or the name that the system found
      attr_reader :loaded

      # Loads the library, if it is not loaded: from `path`, else from what HONKER_LIBRARY names, else the copy in this
      # package, the one next to the program, the system's.
      def load(path = nil)
        LOCK.synchronize do
          path &&= File.expand_path(path)
          return check_same(path) if @loaded

          tried = []
          places(path).each do |place, why|
            problem = try(place)
            return @loaded = place if problem.nil?

            tried << "#{place} (#{why}): #{problem}"
          end
          raise LibraryError.new(<<~TEXT.chomp, tried: tried)
            libhonker could not be loaded. Tried:
            #{tried.map { |line| "  #{line}" }.join("\n")}
            Pass library_path: to Honker::Database.new, or set HONKER_LIBRARY, to the path of #{FILE}.
          TEXT
        end
      end

      private

      def places(path)
        return { path => "library_path" } if path

        named = ENV.fetch("HONKER_LIBRARY", "")
        return { File.expand_path(named) => "HONKER_LIBRARY" } unless named.empty?

        { BUNDLED => "in this package", File.expand_path("../#{FILE}", $PROGRAM_NAME) => "next to the program",
          FILE => "the system" }
      end

      # nil if it is loaded, or what is wrong.
      def try(place)
        return "no such file" if place.include?("/") && !File.exist?(place)

        Native.ffi_lib(place)
        Native.attach_version
        problem = misfit(Native.honker_abi_version)
        Native.attach unless problem
        problem
      rescue FFI::NotFoundError => e
        "not a libhonker that fits: #{e.message}"
      rescue LoadError => e
        e.message.lines.first.chomp
      end

      def misfit(abi)
        ours = Native::ABI_VERSION
        return if abi >> 16 == ours >> 16 && abi >= ours

        format("its interface is version %d.%d (libhonker %s), and honker %s for Ruby needs %d.%d or a later %d.x",
               abi >> 16, abi & 0xffff, Native.honker_version, VERSION, ours >> 16, ours & 0xffff, ours >> 16)
      end

      def check_same(path)
        return @loaded if path.nil? || path == @loaded || (File.exist?(@loaded) && File.identical?(path, @loaded))

        raise LibraryError.new("#{path} cannot be loaded: this process uses #{@loaded} already", tried: [path])
      end
    end
  end
  private_constant :Library
end
