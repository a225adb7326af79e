# frozen_string_literal: true

require "optparse"
require "honker/version"

module Honker
  # The program honker-worker: loads an application, and works for it until it is told to stop. What this package does for Rails
  # has to find Rails loaded, so the package is loaded after the application.
  class Command
    def initialize(arguments)
      @arguments = arguments
      @queues = {}
      @options = { concurrency: 5 }
      @required = []
    end

    # @return [Integer] the exit status
    def run
      rest = parser.parse(@arguments)
      return complain("unknown arguments: #{rest.join(" ")}") unless rest.empty?

      load_application
      require "honker"
      path = @path || Honker.database_path
      return complain("say which database: --database FILE, or Honker.database= in the application") if path.nil?

      @queues["default"] = 1 if @queues.empty?
      serve(path)
    rescue OptionParser::ParseError => e
      complain("#{e.message} (--help has the options)")
    end

    private

    def serve(path)
      queues = @queues.map { |queue| queue.join(",") }.join(" ")
      warn("honker-worker #{VERSION}: #{Postgres.shown(path)}, #{queues}, #{@options[:concurrency]} at a time")
      warn_of_a_small_pool
      Honker.work(path, @queues, **@options)
      0
    rescue UnfinishedError, ArgumentError, InvalidError => e
      complain(e.message)
    end

    def warn_of_a_small_pool
      pool = defined?(ActiveRecord::Base) && ActiveRecord::Base.connection_pool.size
      warn("honker-worker: ActiveRecord's pool has #{pool} connections only") if pool && pool < @options[:concurrency]
    rescue ActiveRecord::ConnectionNotEstablished
      nil # it has no database
    end

    def parser
      OptionParser.new do |options|
        options.banner = "Usage: honker-worker [options]"
        options.separator("\nPerforms the jobs of ActiveJob and of Honker::Job until SIGTERM or Ctrl-C.\n\n")
        options.on("-q", "--queue NAME[,WEIGHT]", "a queue; may be repeated (default)") { |queue| add(queue) }
        options.on("-c", "--concurrency N", Integer, "how many jobs at a time (5)") { |n| @options[:concurrency] = n }
        options.on("-d", "--database FILE", "the file, or a URL (the application's Honker.database)") { |path| @path = path }
        options.on("-r", "--require FILE", "what loads the application (./config/environment.rb)") { |file| @required << file }
        options.on("-t", "--stop-timeout S", Float, "for jobs to finish at the end (8)") { |s| @options[:stop_timeout_s] = s }
        options.on("--max-run S", Integer, "how long a job may run (for ever)") { |s| @options[:max_run_s] = s }
        options.on("-s", "--scheduler", "fire the schedules, too") { @options[:schedules] = [] }
        options.on("--version") { puts("honker #{VERSION}") || exit }
      end
    end

    def add(queue)
      name, weight = queue.split(",", 2)
      weight = Integer(weight || "1", 10, exception: false) || raise(OptionParser::InvalidArgument, "#{weight} is no weight")
      @queues[name] = weight
    end

    def load_application
      rails = File.expand_path("config/environment.rb")
      @required << rails if @required.empty? && File.exist?(rails)
      @required.each { |file| File.exist?(file) ? load(File.expand_path(file)) : require(file) }
    end

    def complain(text)
      warn("honker-worker: #{text}")
      1
    end
  end
end
