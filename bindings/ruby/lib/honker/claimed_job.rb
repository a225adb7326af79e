# frozen_string_literal: true

module Honker
  # What jobs that were claimed together have in common, attempts mostly included. Ruby makes an object of three variables in
  # much less time than one of six. Nothing here is for users.
  # @private
  class Claim
    attr_reader :queue, :worker_id, :attempts, :expires_at, :max_attempts

    def initialize(queue, worker_id, attempts, expires_at, max_attempts)
      @queue = queue
      @worker_id = worker_id
      @attempts = attempts
      @expires_at = expires_at
      @max_attempts = max_attempts
    end

    def shared_by?(queue, attempts, expires_at, max_attempts)
      @attempts == attempts && @expires_at == expires_at && @max_attempts == max_attempts && @queue.equal?(queue)
    end
  end
  private_constant :Claim

  # One claimed job. It is its worker's until it is settled, or until the queue's visibility timeout is over.
  class ClaimedJob
    # @return [Integer]
    attr_reader :id
    # @return [String] the payload as it is stored
    attr_reader :payload_text
    # @private
    # The claim's number, if a worker made it.
    attr_reader :serial

    # @private
    def initialize(claim, id, payload_text, serial, metadata_text = nil)
      @claim = claim
      @id = id
      @payload_text = payload_text
      @serial = serial unless serial.zero?
      @metadata_text = metadata_text if metadata_text
    end

    # @return [String] who holds it, as it stands in the file: the name of the worker that claimed it and, in {Worker#run},
    #   `@` and the 32 hexadecimal digits of its process
    def worker_id
      @claim.worker_id
    end

    # @return [Integer] how often it has been claimed, this time included
    def attempts
      @claim.attempts
    end

    # @return [Integer] how often it may be
    def max_attempts
      @claim.max_attempts
    end

    # @return [Database]
    def database
      @claim.queue.database
    end

    # @return [Payload] what was enqueued beside the payload: texts. Empty if there is nothing
    def metadata
      @metadata ||= @metadata_text ? Codec.decode(@metadata_text) : Payload.new
    end

    # @return [Integer] the last second, in Unix time, in which the claim is valid
    def claim_expires_at
      @claim.expires_at
    end

    # @return [String]
    def queue_name
      @claim.queue.name
    end

    # The payload, decoded; objects are a {Payload}, and a text that is not JSON is a {RawText}.
    def payload
      @payload = Codec.decode(@payload_text) unless defined?(@payload)
      @payload
    end

    # The job is done: removes it. `tx` makes it part of a transaction.
    #
    # @return [Boolean] false, and nothing changed, if the worker does not hold it any more
    def ack(tx: nil)
      settle(:honker_ack, tx)
    end

    # The job could not be done now: it becomes due again in `delay_s` seconds or, if its attempts are used up, ends among the
    # dead with the text `error`.
    #
    # @return [Boolean] as for {#ack}
    def retry(delay_s: 60, error: "", tx: nil)
      settle(:honker_retry, tx, Value.integer(delay_s, "delay_s"), *Value.error_text(error))
    end

    # The job can never be done: it ends among the dead with the text `error`.
    #
    # @return [Boolean] as for {#ack}
    def fail(error: "", tx: nil)
      settle(:honker_fail, tx, *Value.error_text(error))
    end
    alias discard fail

    # It is not the time for the job: it becomes due again in `delay_s` seconds, and this attempt does not count.
    #
    # @return [Boolean] as for {#ack}
    def snooze(delay_s, tx: nil)
      settle(:honker_release, tx, Value.integer(delay_s, "delay_s"))
    end

    # Gives the job back: it is due at once, and this attempt does not count.
    #
    # @return [Boolean] as for {#ack}
    def release(tx: nil)
      snooze(0, tx: tx)
    end

    # Does what the block does once, whatever is retried: what that returns is saved under the name, and an attempt that comes
    # later has it without the block. With a `tx` the block's own writes there and the mark are committed together, or neither
    # is; without one a crash in between does the step again.
    #
    #     charge = job.step("charge") { gateway.charge(job.payload[:card], idempotency_key: job.id) }
    #     db.transaction { |tx| job.step("book", tx: tx) { tx.execute("UPDATE ...") } }
    #
    # Names belong to the job: a step in a loop needs one for each time. They are kept as long as the job is, also dead.
    #
    # @param name [String, Symbol]
    # @return [Object] what was saved, as JSON has it: Symbols are Strings, and Hashes a {Payload}
    # @raise [Cancelled] if it is {#cancelled?} before the step, or if the worker does not hold it any more after it; then
    #   nothing is saved
    # @raise [Discard] if the block returns what JSON does not have (a model, NaN, a text that is not UTF-8), or more than SQLite
    #   takes (a gigabyte). Nothing is saved, and the job is dead, since another attempt would run the block again
    def step(name, tx: nil)
      key = Value.text(name, "name")
      handle = Transaction.handle(tx)
      saved = database.owned_text(:honker_step_get, database.handle, handle, @id, *key)
      return Codec.decode(saved) if saved

      check!
      value = step_value(name, yield)
      saved = save_step(name, handle, *key, *value)
      saved ? Codec.decode(saved) : raise(Cancelled, "job #{@id} is lost, and step #{name} not saved")
    end

    # The batch that it is a member of. While it runs it may add others (`batch: job.batch`), also if that is sealed.
    #
    # @return [Batch, nil] nil if there is none
    def batch
      options = Postgres.table(database, "_honker_job_options")
      id, = database.query_row("SELECT batch_id FROM #{options} WHERE job_id = ?", [@id])
      id && Batch.new(database, id, self)
    end

    # Whether its worker ({Worker#run}) has lost it, or stops: its handler should end. Any thread.
    #
    # @return [Boolean]
    def cancelled?
      @cancel_reason ? true : false
    end

    # Whether its worker has been told to stop: its handler may finish, if that takes less than `stop_timeout_s`, and is
    # {#cancelled?} then. Any thread.
    #
    # @return [Boolean]
    def stopping?
      @stopping || cancelled?
    end

    # @return [Symbol, nil] why it is {#cancelled?}: `:gone` (cancelled, deleted or settled by somebody else), `:lapsed`, `:taken`
    #   (its claim was over, and somebody has it now), `:timeout` (it ran for longer than `max_run_s`), `:replaced` (the file
    #   was), `:stop` (the worker stops)
    attr_reader :cancel_reason

    # A safe point of a handler.
    #
    # @raise [Cancelled] if it is {#cancelled?}
    def check!
      raise Cancelled, "job #{@id} is cancelled (#{@cancel_reason})" if @cancel_reason
    end

    # As {#heartbeat}, for handlers that want to end when the job is lost.
    #
    # @raise [Cancelled] if the worker does not hold it any more, or it is {#cancelled?}
    def heartbeat!(extend_s: nil, tx: nil)
      check!
      heartbeat(extend_s: extend_s, tx: tx) || raise(Cancelled, "job #{@id} is lost")
    end

    # @private
    def cancel(reason)
      @cancel_reason ||= reason # rubocop:disable Naming/MemoizedInstanceVariableName -- the first one counts
    end

    # @private
    def stop
      @stopping = true
    end

    # @private
    # Whatever its handler raises, there is no further attempt.
    def final!
      @final = true
    end

    # @private
    def final?
      @final || attempts >= max_attempts
    end

    # The job takes longer: its claim is valid for `extend_s` seconds from now, by default the queue's visibility timeout.
    #
    # @return [Boolean] as for {#ack}
    def heartbeat(extend_s: nil, tx: nil)
      settle(:honker_heartbeat, tx, Value.integer(extend_s || @claim.queue.visibility_timeout_s, "extend_s"))
    end

    def inspect
      "#<#{self.class} #{@id} of #{queue_name.inspect} payload=#{@payload_text}>"
    end

    private

    # What a step returned, for the library.
    def step_value(name, value)
      foreign = Codec.foreign(value)
      raise PayloadError, "JSON has no #{foreign.class}; end the step with an id, a text or nil" if foreign

      text, length = Value.text(Codec.encode(value), "the value")
      raise PayloadError, "its text is not valid UTF-8" unless text.valid_encoding?

      [text, length]
    rescue StandardError => e
      raise unsaved(name, e)
    end

    def save_step(name, transaction, *key_and_value)
      database.owned_text(:honker_step_save, database.handle, transaction, @id, *Value.text(worker_id, "worker"), *key_and_value)
    rescue TooBigError => e
      raise unsaved(name, e)
    end

    def unsaved(name, error)
      Discard.new("step #{name} has run, and is not saved: #{error.message}")
    end

    def settle(function, transaction, *args)
      database.call?(function, database.handle, Transaction.handle(transaction), @id, *Value.text(@claim.worker_id, "worker"),
                     *args)
    end
  end
end
