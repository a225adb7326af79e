# frozen_string_literal: true

module Honker
  # Finds the loadable extension, libhonker_ext, for connections of your own.
  class ExtensionResolver
    FILE = FFI.map_library_name("honker_ext")
    BUNDLED = File.expand_path("native/#{FILE}", __dir__)

    # @param env [#[]] where HONKER_EXTENSION_PATH is looked up
    # @param bundled [String] the copy to use if nothing else is named
    def initialize(env: ENV, bundled: BUNDLED)
      @env = env
      @bundled = bundled
    end

    # @param path [String, nil] is returned as it is
    # @return [String]
    # @raise [LibraryError]
    def resolve(path = nil)
      return path if path

      named = @env["HONKER_EXTENSION_PATH"].to_s
      unless named.empty?
        return named if File.exist?(named)

        raise LibraryError.new("HONKER_EXTENSION_PATH does not exist: #{named}", tried: [named])
      end
      return @bundled if File.exist?(@bundled)

      raise LibraryError.new(<<~TEXT.chomp, tried: [@bundled])
        honker's loadable extension was not found at #{@bundled}; set HONKER_EXTENSION_PATH or pass extension_path:
      TEXT
    end
  end

  class << self
    # Where the loadable extension is: `override`, else HONKER_EXTENSION_PATH, else the copy in this package.
    def extension_path(override = nil)
      ExtensionResolver.new.resolve(override)
    end

    # Loads the extension into a connection of the sqlite3 gem, whose SQL then has honker's functions. Loading is disabled
    # again afterwards.
    #
    # @param conn [SQLite3::Database, #raw_connection]
    def load_extension(conn, extension_path: nil)
      conn = raw(conn)
      path = extension_path(extension_path)
      begin
        conn.enable_load_extension(true)
        conn.load_extension(path)
      ensure
        conn.enable_load_extension(false)
      end
      conn
    end

    # Creates honker's tables, or brings them up to date, in the file of a connection that has the extension.
    def bootstrap(conn)
      raw(conn).execute("SELECT honker_bootstrap()")
      nil
    end

    # Loads the extension and, unless told not to, creates the tables.
    def setup(conn, extension_path: nil, bootstrap: true)
      load_extension(conn, extension_path: extension_path)
      bootstrap(conn) if bootstrap
      conn
    end

    # For `Sequel.connect(url, after_connect: Honker.sequel_after_connect)`.
    #
    # @return [Proc]
    def sequel_after_connect(extension_path: nil, bootstrap: true)
      proc { |conn, *| setup(conn, extension_path: extension_path, bootstrap: bootstrap) }
    end

    private

    def raw(conn)
      conn.respond_to?(:raw_connection) ? conn.raw_connection : conn
    end
  end
end
