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
  # Its payload is a task, as the packages for other languages write and read it,
  # `{"__honker_task__": {"task": "SendEmail", "args": [], "kwargs": {"to": "alice"}}}`: of the arguments, Symbols come back as
  # Strings and Hashes as a {Payload}. Its name is that of the class, unless {ClassMethods#queue} has said another. A payload
  # that names no such class, or whose arguments `perform` does not take, will not get better: its job ends among the dead, with
  # the reason.
  module Job
    ENVELOPE = "__honker_task__"
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
      type, args, kwargs = read(claimed)
      performer = type.new
      wrong = Job.mismatch(performer.method(:perform), args, kwargs)
      raise Discard, "#{type.name}#perform: #{wrong}" if wrong

      performer.job = claimed
      performer.perform(*args, **kwargs)
    end

    @named = {}
    @plain = {}
    @register_lock = Mutex.new

    # @private
    # The class performs the tasks of a name of its own, or what else is in a queue. One that is loaded anew takes its place.
    def self.register(type, name, queue)
      @register_lock.synchronize do
        list, key = name ? [@named, name] : [@plain, queue]
        other = list[key]
        if other && !other.equal?(type) && (other.name.nil? || other.name != type.name)
          what = name ? "duplicate task name #{name}" : "the plain payloads of queue #{queue} have a class already"
          raise ArgumentError, "#{what}: #{other.name || other.inspect}"
        end
        [@named, @plain].each { |all| all.delete_if { |_, one| one.equal?(type) } }
        list[key] = type
      end
    end

    # @private
    # The class and the arguments of a job.
    def self.read(claimed)
      name, args, kwargs = task(claimed.payload)
      type = name && find(name)
      type = nil if type && !type.task_name
      if type.nil? && (type = newest(@plain[claimed.queue_name]))
        args, kwargs = plain(claimed.payload)
      end
      return [type, args, kwargs.transform_keys(&:to_sym)] if type

      raise Discard, "unknown task: #{name}. Registered tasks: [#{names.join(", ")}]" if name

      raise Discard, <<~TEXT.tr("\n", " ").strip
        raw (non-task) payload on a task queue: enqueue it by a job class, give the queue a class for plain payloads
        (queue #{claimed.queue_name.inspect}, name: nil), or run the worker with a block
      TEXT
    end

    # @private
    # Name and arguments; nil for what is no task. The second form is that of ActiveJob's adapter.
    def self.task(payload)
      return unless payload.is_a?(Payload)

      task = payload[ENVELOPE]
      name, args, kwargs = task.is_a?(Payload) ? task.values_at(:task, :args, :kwargs) : payload.values_at(:class, :args, :kwargs)
      args = [] if task && args.nil?
      kwargs = Payload.new if task && kwargs.nil?
      [name, args, kwargs] if name.is_a?(String) && args.is_a?(Array) && kwargs.is_a?(Hash)
    end

    # @private
    # The arguments that a plain payload is.
    def self.plain(payload)
      payload.is_a?(Payload) ? [[], payload] : [[payload], Payload.new]
    end

    # @private
    # The class of a task; nil if there is none.
    def self.find(name)
      type = newest(@named[name]) || constant(name)
      type if type.is_a?(Class) && type.include?(Job)
    end

    # @private
    # Rails may have thrown a class away, to load it anew.
    def self.newest(type)
      type && ((type.name && constant(type.name)) || type)
    end

    # @private
    def self.constant(name)
      Object.const_get(name) if NAME.match?(name)
    rescue NameError => e
      raise unless e.name && name.split("::").include?(e.name.to_s) # one that its file is about
    end

    # @private
    # Of all tasks whose classes are loaded.
    def self.names
      ObjectSpace.each_object(Class).select { |type| type < Job }.filter_map(&:task_name).uniq.sort
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

    # @private
    def self.check_arguments(arguments, name)
      other = Codec.foreign(arguments)
      return if other.nil?

      raise ArgumentError, "#{name}#perform: a #{other.class} is no argument of a job: give what JSON has, an id or a text"
    end

    # What a class that includes {Job} can do.
    module ClassMethods
      # The queue of these jobs, and the options of {Queue#enqueue} that they have unless {#set} says otherwise. `unique_key` and
      # `concurrency_key` may be a Proc, which is called with the arguments of the job:
      #
      #     queue "emails", unique_key: ->(to:, **) { "mail to #{to}" }
      #
      # @param task [String, nil] `name:`, by which its jobs are known in the file, also to other languages; by default the
      #   class's own. One that is not, is only found once its class is loaded. nil for plain payloads: whatever is in the queue
      #   and is not for another class. A JSON object has the keyword arguments, anything else is the only argument
      # @return [String] its name; "default" if it was never said
      # @raise [ArgumentError] if another class has the name, or the plain payloads of the queue
      def queue(name = nil, **options)
        @honker_queue = Value.utf8(name, "queue") if name
        if options.key?(:name)
          task = options.delete(:name)
          task &&= Value.utf8(task, "name")
          Job.register(self, task, queue)
          @honker_task = [task]
        end
        Value.positive(options[:max_attempts], "max_attempts") if options[:max_attempts]
        @honker_options = options unless options.empty?
        @honker_queue || (superclass.respond_to?(:honker_options) ? superclass.queue : "default")
      end

      # @return [String, nil] the name of its jobs; nil for plain payloads
      def task_name
        @honker_task ? @honker_task.first : name
      end

      # @private
      def honker_options
        @honker_options || (superclass.respond_to?(:honker_options) ? superclass.honker_options : {})
      end

      # Enqueues a job that performs with these arguments.
      #
      # @return [Integer, nil] its id; nil if a hook has held it back
      # @raise [ArgumentError] if `perform` does not take them, or JSON does not have them: nil, true, false, numbers, Strings,
      #   Symbols, and Arrays and Hashes of these
      def enqueue(*args, **kwargs)
        set.enqueue(*args, **kwargs)
      end

      # As {#enqueue}, for those who want to know what came of it.
      #
      # @return [Enqueued, nil] as {Queue#try_enqueue}
      def try_enqueue(*args, **kwargs)
        set.try_enqueue(*args, **kwargs)
      end

      # A job with these arguments, for what takes one as a Hash: {Database#enqueue_many}, {Scheduler#add}, the callbacks of
      # {Database#batch}.
      #
      # @return [Hash] with the keys queue, payload and those of the options
      def spec(*args, **kwargs)
        set.spec(*args, **kwargs)
      end

      # @private
      # What its job has as payload.
      def honker_payload(args, kwargs, queue)
        return { Job::ENVELOPE => { task: task_name, args: args, kwargs: kwargs } } if task_name
        raise ArgumentError, "a class without a name needs name: in #queue" unless @honker_task
        raise ArgumentError, "plain payloads are those of queue #{self.queue}, not #{queue}" if queue != self.queue
        return kwargs if args.empty?
        return args.first if args.size == 1 && kwargs.empty? && !args.first.is_a?(Hash)

        raise ArgumentError, "#{name}: a plain payload is either keyword arguments or one that is no Hash"
      end

      # For one job: the options of {Queue#enqueue}; `queue:`; `db:`, if it is not {Honker.database}; `connection:`, one of yours
      # ({Honker.enqueue_on}). Without any of them it is ActiveRecord's, if that has the file of {Honker.database}: the job is
      # enqueued in the model's transaction.
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
        try_enqueue(*args, **kwargs)&.id
      end

      # As {ClassMethods#try_enqueue}.
      def try_enqueue(*args, **kwargs)
        job = spec(*args, **kwargs)
        db, tx, connection = @where.values_at(:db, :tx, :connection)
        return Connection.enqueue(connection, **job) if connection

        if db.nil? && tx.nil? && (models = Connection.models)
          return Connection.with_models(models) { Connection.enqueue(models, **job) }
        end

        queue, payload = job.delete(:queue), job.delete(:payload)
        (db || tx&.database || Honker.database).queue(queue).try_enqueue(payload, tx: tx, **job)
      end

      # As {ClassMethods#spec}.
      def spec(*args, **kwargs)
        wrong = Job.mismatch(@type.instance_method(:perform), args, kwargs)
        raise ArgumentError, "#{@type.name}#perform: #{wrong}" if wrong

        Job.check_arguments([args, kwargs], @type.name)
        keys = @options.slice(:unique_key, :concurrency_key).transform_values do |key|
          key.respond_to?(:call) ? key.call(*args, **kwargs) : key
        end
        { queue: @queue, payload: @type.honker_payload(args, kwargs, @queue), **@options, **keys }
      end
    end
  end

  @database_lock = Mutex.new

  class << self
    # The database of what is not told another. A path is opened when it is first needed, and anew in a forked process, after it
    # was closed, and after a call has failed because the file was replaced ({WatcherError}).
    #
    # @return [Database]
    def database
      @database_lock.synchronize do
        return @database if @database.is_a?(Database)

        path = database_path
        raise MisuseError, 'say which database: Honker.database = "app.db"' if path.nil?

        @opened = Database.new(path) if @opened.nil? || @opened.stale?
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
