# frozen_string_literal: true

module Honker
  # Makes a class one of jobs, which a {Worker} without a block performs:
  #
  #     class SendEmail
  #       include Honker::Job
  #       queue "emails", max_attempts: 10
  #
  #       def perform(to:, subject: "hello")
  #         ...
  #       end
  #     end
  #
  #     SendEmail.enqueue(to: "alice")
  #     SendEmail.set(tx: tx, delay: 60).enqueue(to: "bob")
  #     db.worker("emails", concurrency: 4).run
  #
  # Its payload is JSON, `{"class": "SendEmail", "args": [], "kwargs": {"to": "alice"}}`: of the arguments, Symbols come back as
  # Strings and Hashes as a {Payload}. A payload that names no such class, or whose arguments `perform` does not take, will not
  # get better: its job ends among the dead, with the reason.
  module Job
    NAME = /\A[A-Z]\w*(::[A-Z]\w*)*\z/
    private_constant :NAME

    # @return [ClaimedJob] the one that is performed, with its id, attempts, metadata and {ClaimedJob#check!}
    attr_accessor :job

    # @private
    def self.included(base)
      super
      base.extend(ClassMethods)
    end

    # What {Worker#run} does with a job if it has no block.
    #
    # @raise [Discard] if that cannot be done at all
    def self.perform(claimed)
      type, args, kwargs = read(claimed.payload)
      performer = type.new
      wrong = Job.mismatch(performer.method(:perform), args, kwargs)
      raise Discard, "#{type.name}#perform: #{wrong}" if wrong

      performer.job = claimed
      performer.perform(*args, **kwargs)
    end

    # @private
    # The class and the arguments of a payload.
    def self.read(payload)
      name, args, kwargs = payload.values_at(:class, :args, :kwargs) if payload.is_a?(Payload)
      unless name.is_a?(String) && args.is_a?(Array) && kwargs.is_a?(Hash)
        raise Discard, 'the payload is not that of a job class: {"class": "...", "args": [...], "kwargs": {...}}'
      end

      [named(name), args, kwargs.transform_keys(&:to_sym)]
    end

    # @private
    def self.named(name)
      type = Object.const_get(name) if NAME.match?(name)
      return type if type.is_a?(Class) && type.include?(Job)

      raise Discard, "#{name} is no class that includes Honker::Job"
    rescue NameError => e
      raise unless e.name && name.split("::").include?(e.name.to_s) # one that its file is about

      raise Discard, "there is no job class #{name}"
    end

    # @private
    # What is wrong with arguments for a method; nil if nothing is.
    def self.mismatch(method, args, kwargs)
      kinds = method.parameters.group_by(&:first).transform_values { |parameters| parameters.map(&:last) }
      required, optional = kinds.values_at(:req, :opt).map { |names| names.to_a.size }
      if args.size < required || (args.size > required + optional && !kinds.key?(:rest))
        return "#{args.size} arguments for #{required}#{"..#{required + optional}" if optional.positive?}"
      end

      missing = kinds[:keyreq].to_a - kwargs.keys
      unknown = kinds.key?(:keyrest) ? [] : kwargs.keys - kinds[:keyreq].to_a - kinds[:key].to_a
      return "missing keywords: #{missing.join(", ")}" unless missing.empty?

      "unknown keywords: #{unknown.join(", ")}" unless unknown.empty?
    end

    # What a class that includes {Job} can do.
    module ClassMethods
      # The queue of these jobs, and the options of {Queue#enqueue} that they have unless {#set} says otherwise.
      #
      # @return [String] its name; "default" if it was never said
      def queue(name = nil, **options)
        @honker_queue = Value.utf8(name, "queue") if name
        @honker_options = options unless options.empty?
        @honker_queue || (superclass.respond_to?(:honker_options) ? superclass.queue : "default")
      end

      # @private
      def honker_options
        @honker_options || (superclass.respond_to?(:honker_options) ? superclass.honker_options : {})
      end

      # Enqueues a job that performs with these arguments.
      #
      # @return [Integer] its id
      # @raise [ArgumentError] if `perform` does not take them
      def enqueue(*args, **kwargs)
        set.enqueue(*args, **kwargs)
      end

      # For one job: the options of {Queue#enqueue}; `queue:`; `db:`, if it is not {Honker.database}; `connection:`, one of yours
      # ({Honker.enqueue_on}).
      def set(db: nil, tx: nil, connection: nil, queue: self.queue, **options)
        Setting.new(self, queue, { db: db, tx: tx, connection: connection }, honker_options.merge(options))
      end
    end

    # What {ClassMethods#set} has said.
    class Setting
      # @private
      def initialize(type, queue, where, options)
        @type = type
        @queue = queue
        @where = where
        @options = options
      end

      # As {ClassMethods#enqueue}.
      def enqueue(*args, **kwargs)
        wrong = Job.mismatch(@type.instance_method(:perform), args, kwargs)
        raise ArgumentError, "#{@type.name}#perform: #{wrong}" if wrong

        payload = { class: @type.name, args: args, kwargs: kwargs }
        db, tx, connection = @where.values_at(:db, :tx, :connection)
        return Honker.enqueue_on(connection, @queue, payload, **@options) if connection

        (db || tx&.database || Honker.database).queue(@queue).enqueue(payload, tx: tx, **@options)
      end
    end
  end

  @database_lock = Mutex.new

  class << self
    # The database of what is not told another. A path is opened when it is first needed, and anew in a forked process.
    #
    # @return [Database]
    def database
      @database_lock.synchronize do
        return @database if @database.is_a?(Database)

        path = database_path
        raise MisuseError, 'say which database: Honker.database = "app.db"' if path.nil?

        @opened = Database.new(path) if @opened.nil? || @opened.closed? || @opened.pid != Process.pid
        @opened
      end
    end

    # @return [String, nil] where it is; it is not opened for that
    def database_path
      return @database.path if @database.is_a?(Database)

      @database.respond_to?(:call) ? @database.call : @database
    end

    # @param database [Database, String, #call, nil] one, or its path, or what gives that when it is first needed
    def database=(database)
      @database_lock.synchronize { @database, @opened = database, nil }
    end
  end
end
