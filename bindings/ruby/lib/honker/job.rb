# frozen_string_literal: true

module Honker
  # One claimed job. It is its worker's until it is settled, or until the queue's visibility timeout is over.
  class Job
    # @return [Integer]
    attr_reader :id
    # @return [String] who holds it
    attr_reader :worker_id
    # @return [Integer] how often it has been claimed, this time included
    attr_reader :attempts
    # @return [Integer] the last second, in Unix time, in which the claim is valid
    attr_reader :claim_expires_at
    # @return [String] the payload as it is stored
    attr_reader :payload_text

    # @private
    def initialize(queue, id, payload_text, worker_id, attempts, claim_expires_at)
      @queue = queue
      @id = id
      @payload_text = payload_text
      @worker_id = worker_id
      @attempts = attempts
      @claim_expires_at = claim_expires_at
    end

    # @return [String]
    def queue_name
      @queue.name
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

    # The job takes longer: its claim is valid for `extend_s` seconds from now, by default the queue's visibility timeout.
    #
    # @return [Boolean] as for {#ack}
    def heartbeat(extend_s: nil, tx: nil)
      settle(:honker_heartbeat, tx, Value.integer(extend_s || @queue.visibility_timeout_s, "extend_s"))
    end

    def inspect
      "#<#{self.class} #{@id} of #{queue_name.inspect} payload=#{@payload_text}>"
    end

    private

    def settle(function, transaction, *args)
      database = @queue.database
      database.call?(function, database.handle, Transaction.handle(transaction), @id, *Value.text(@worker_id, "worker"),
                     *args)
    end
  end
end
