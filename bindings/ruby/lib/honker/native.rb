# frozen_string_literal: true

module Honker
  # The C ABI, as include/honker.h has it: functions, layouts, constants. Nothing here is for users.
  #
  # Handles are numbers (uint64), since the library looks them up and never follows them. Structs are packed and unpacked as
  # strings: no object is made for a field.
  # @private
  module Native
    extend FFI::Library

    ABI_VERSION = 1 << 16

    OK = 0
    EMPTY = 1
    TIMEOUT = 2
    WOKEN = 3
    LOST = 4
    HELD = 5
    LIMITED = 6
    CLOSED = 7
    MISUSE = -20
    UNSUPPORTED = -27
    NO_TIME = (1 << 63) - 1
    DURABILITY_NORMAL = 0
    DURABILITY_FULL = 1
    JOURNAL_WAL = 0
    JOURNAL_DELETE = 1
    JOURNAL_TRUNCATE = 2
    JOURNAL_PERSIST = 3
    NESTING_FAIL = 0
    SETTLE_ACK = 0
    SETTLE_RETRY = 1
    TYPE_NULL = 0
    TYPE_INTEGER = 1
    TYPE_REAL = 2
    TYPE_TEXT = 3
    TYPE_BLOB = 4
    UPDATE_EXPRESSION = 1
    UPDATE_PAYLOAD = 2
    UPDATE_PRIORITY = 4
    UPDATE_EXPIRES = 8
    UPDATE_MAX_ATTEMPTS = 16

    # A struct: its fields with the letters of Array#pack. A text is two, where it begins and its length.
    class Layout
      attr_reader :name, :fields, :template, :size, :words

      SIZES = { "L" => 4, "l" => 4, "q" => 8, "Q" => 8, "d" => 8, "J" => 8, "JJ" => 16 }.freeze

      def initialize(name, **fields)
        @name = name
        @fields = fields
        @template = fields.values.join
        @size = fields.values.sum { |letters| SIZES.fetch(letters) }
        @words = @size / 8
      end

      # The number of a field, if the struct is read as words of 64 bits.
      def word(name)
        @fields.take_while { |field, _| field != name }.sum { |_, letters| SIZES.fetch(letters) } / 8
      end

      # The struct with these values, in order; those that begin with struct_size and reserved are given them.
      def pack(*values)
        values = [@size, 0, *values] if @fields.key?(:struct_size)
        values.pack(@template)
      end

      # Memory for the library to write to, for one or more, of which the first says how long each is.
      def view(count = 1)
        FFI::MemoryPointer.new(@size, count).write_uint32(@size)
      end

      def read(view)
        view.read_bytes(@size).unpack(@template)
      end
    end

    sized = { struct_size: "L", reserved: "L" }
    BYTES = Layout.new(:honker_bytes_t, data: "J", len: "J")
    OPEN_OPTS = Layout.new(:honker_open_opts_t, **sized, busy_timeout_ms: "q", readers_max: "L", durability: "L",
                           journal_mode: "L", wal_autocheckpoint_pages: "L", nesting: "L", reserved_2: "L",
                           watcher_backend: "JJ", watcher_poll_interval_ms: "q")
    VALUE = Layout.new(:honker_value_t, value_type: "L", reserved: "L", integer: "q", real: "d", bytes: "JJ")
    ENQUEUE_OPTS = Layout.new(:honker_enqueue_opts_t, **sized, run_at: "q", delay_s: "q", expires_s: "q",
                              priority: "q", max_attempts: "q")
    JOB_VIEW = Layout.new(:honker_job_view_t, **sized, id: "q", queue: "JJ", payload: "JJ", worker_id: "JJ",
                          attempts: "q", claim_expires_at: "q")
    WORKER_OPTS = Layout.new(:honker_worker_opts_t, **sized, visibility_timeout_s: "q", fallback_ms: "q")
    SETTLEMENT = Layout.new(:honker_settlement_t, kind: "L", status: "l", id: "q", delay_s: "q", error: "JJ")
    NOTIFICATION_VIEW = Layout.new(:honker_notification_view_t, **sized, id: "q", channel: "JJ", payload: "JJ",
                                   created_at: "q")
    EVENT_VIEW = Layout.new(:honker_event_view_t, **sized, offset: "q", topic: "JJ", key: "JJ", payload: "JJ",
                            created_at: "q")
    SUBSCRIPTION_OPTS = Layout.new(:honker_subscription_opts_t, **sized, consumer: "JJ", from_offset: "q",
                                   save_every_n: "q", save_every_ms: "q")
    SCHEDULE_OPTS = Layout.new(:honker_schedule_opts_t, **sized, priority: "q", expires_s: "q", max_attempts: "q")
    SCHEDULE_UPDATE = Layout.new(:honker_schedule_update_t, **sized, fields: "Q", expression: "JJ", payload: "JJ",
                                 priority: "q", expires_s: "q", max_attempts: "q")
    FIRE_VIEW = Layout.new(:honker_fire_view_t, **sized, name: "JJ", queue: "JJ", fire_at: "q", job_id: "q")
    OUTBOX_OPTS = Layout.new(:honker_outbox_opts_t, **sized, visibility_timeout_s: "q", base_backoff_s: "q",
                             fallback_ms: "q")

    # What may wait for the write lock, or read the file: other threads of Ruby run meanwhile. h is a handle, t a text (two
    # arguments), b a struct or numbers, n a number, p where an answer goes; the error's place comes last.
    BLOCKING = {
      open: "tbp", close: "h", interrupt: "h",
      tx_begin: "hp", tx_commit: "h", tx_rollback: "h", tx_execute: "htpnp", tx_query: "htpnp", query: "htpnp",
      enqueue: "hhttbp", enqueue_many: "hhtpnbp", ack: "hhnt", ack_batch: "hhbntp", retry: "hhntnt", fail: "hhntt",
      heartbeat: "hhntn", cancel: "hhn", sweep_expired: "hhtp", queue_next_claim_at: "hhtp", get_job: "hhnp",
      queue_stats: "hhtp", claim: "hhttnnp", dead_list: "hhtnp", dead_requeue: "hhn", dead_purge: "hhtnp",
      waiter_new: "hp", wait: "hn", worker_new: "hhttbp", worker_next: "hnnp", worker_settle_next: "hpnnnp",
      notify: "hhttp", notifications_prune: "hhnnp", listener_new: "hhtnp", listener_next: "hnp",
      stream_publish: "hhtttp", stream_read_since: "hhtnnp", stream_save_offset: "hhttn", stream_get_offset: "hhttp",
      subscription_new: "hhtbp", subscription_next: "hnp", subscription_save: "h", subscription_ack: "h",
      result_save: "hhntn", result_get: "hhnp", result_sweep: "hhp", result_wait: "hhnnp",
      lock_acquire: "hhttn", lock_renew: "hhttn", lock_release: "hhtt", rate_limit_try: "hhtnn",
      rate_limit_sweep: "hhnp", scheduler_register: "hhttttb", scheduler_unregister: "hht", scheduler_update: "hhtb",
      scheduler_pause: "hht", scheduler_resume: "hht", scheduler_tick: "hhnp", scheduler_soonest: "hhp",
      scheduler_list: "hhp", leader_new: "hhtp", leader_next: "hnp", leader_resign: "h", outbox_new: "hhttbp",
      outbox_next: "hnp", outbox_delivered: "hn", outbox_failed: "hnnt"
    }.freeze

    QUICK = {
      text_get: "hpp", rows_size: "hpp", rows_column: "hnpp", rows_get: "hnnp", jobs_views: "hnpnp",
      waiter_wake: "h", waiter_fd: "hp", events_len: "hp", events_get: "hnp", subscription_offset: "hp",
      cron_next_after: "tnp", fires_len: "hp", fires_get: "hnp", leader_leads: "hp"
    }.freeze

    # Those that write while they free, or join a thread.
    BLOCKING_FREES = %i[tx waiter worker listener subscription leader outbox].freeze
    FREES = %i[text rows jobs events fires error].freeze

    TYPES = { "h" => [:uint64], "t" => %i[buffer_in size_t], "b" => [:buffer_in], "n" => [:int64], "p" => [:pointer] }.freeze

    # What has to fit before anything else is called.
    def self.attach_version
      attach_function :honker_abi_version, [], :uint32
      attach_function :honker_version, [], :string
    end

    def self.attach
      attach_function :honker_build_info, [], :string
      attach_function :honker_status_name, [:int32], :string
      attach_function :honker_error_message, %i[uint64 pointer], :pointer
      attach_function :honker_error_sqlite_code, [:uint64], :int32
      attach_function :honker_error_sqlite_extended_code, [:uint64], :int32
      { true => BLOCKING, false => QUICK }.each do |blocking, functions|
        functions.each do |name, letters|
          types = letters.chars.flat_map { |letter| TYPES.fetch(letter) }
          attach_function :"honker_#{name}", [*types, :pointer], :int32, blocking: blocking
        end
      end
      { true => BLOCKING_FREES, false => FREES }.each do |blocking, names|
        names.each { |name| attach_function :"honker_#{name}_free", [:uint64], :void, blocking: blocking }
      end
    end

    # All of the memory, counted from its second byte: a pointer for each text would be one more object.
    MEMORY = FFI::Pointer.new(1)

    # The text at an address, which is the library's.
    def self.text(address, length)
      return +"" if length.zero?

      MEMORY.get_bytes(address - 1, length).force_encoding(Encoding::UTF_8)
    end
  end
  private_constant :Native
end
