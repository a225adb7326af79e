# frozen_string_literal: true

module Honker
  # What an action of {Jobs} has done: how many jobs it changed, and how many it passed over because another job has their unique
  # key, or because the file refuses the change.
  Applied = Struct.new(:changed, :conflicts)

  # The live, dead and done jobs that a filter finds; made by {Database#jobs}. Nothing is read before it is asked for, and then a
  # page at a time. Each job is a {Payload} with the keys id, queue, payload, state, priority, run_at, worker_id,
  # claim_expires_at, attempts, max_attempts, created_at, expires_at, last_error, died_at, finished_at, result, metadata,
  # unique_key, concurrency_key and batch_id; what it does not have is nil.
  #
  #     db.jobs(queue: "emails", state: :dead, error: "503").each { |job| puts job[:payload] }
  #     db.jobs(queue: "emails", state: :dead, error: "503").retry.changed
  #
  # An action takes as many transactions of a thousand jobs at most as it needs, and looks at each job again. One that was
  # ended in the middle has done a part, and may be called again. With a `tx` all of it is that transaction's.
  class Jobs
    include Enumerable

    PAGE = 1000
    private_constant :PAGE

    # @private
    def initialize(database, filter, transaction)
      paged = filter.keys & %i[limit page_size cursor]
      raise ArgumentError, "#{paged.join(" and ")}: that is for page; or take first(n)" unless paged.empty?

      @database = database
      @filter = filter
      @transaction = transaction
    end

    # Those that fulfil these conditions as well ({Database#jobs}).
    #
    # @return [Jobs]
    def where(**conditions)
      Jobs.new(@database, @filter.merge(conditions), @transaction)
    end

    # Yields each job; without a block an Enumerator. What is enqueued and ends meanwhile may or may not be among them.
    def each(&block)
      return enum_for(:each) if block.nil?

      cursor = nil
      more = true
      while more # `loop` would take a StopIteration of the block for its own
        page = page(cursor: cursor)
        page[:jobs].each(&block)
        cursor = page[:cursor]
        more = !cursor.nil?
      end
      self
    end

    # One page.
    #
    # @param page_size [Integer] how many jobs, at most 1,000. There may be fewer, also none, although there is a next page
    # @param cursor [Integer, nil] that of the page before
    # @return [Payload] with the keys jobs, an Array, and cursor, which is nil for the last page
    def page(page_size: 100, cursor: nil)
      page = @database.json(:honker_job_list, @database.handle, Transaction.handle(@transaction), *filter(page_size, cursor))
      page[:jobs].each { |job| Codec.row(job) }
      page
    end

    # Does an action to one page of them.
    #
    # @param action [Symbol, String, Hash] `:retry`, `:run_now`, `:cancel`, `:delete`, `{ move: queue }` or `{ priority: number }`
    # @return [Payload] with the keys changed, conflicts, left (nil where that would have to be counted) and cursor
    def apply(action, page_size: PAGE, cursor: nil)
      action = Codec.options(action) if action.is_a?(Hash)
      @database.json(:honker_job_apply, @database.handle, Transaction.handle(@transaction), *filter(page_size, cursor),
                     *Value.text(action, "action"))
    end

    # Dead jobs become due, with all of their attempts.
    #
    # @return [Applied]
    def retry
      apply_to_all(:retry)
    end

    # Delayed jobs become due.
    #
    # @return [Applied]
    def run_now
      apply_to_all(:run_now)
    end

    # Live jobs are removed; handlers of those that run are told.
    #
    # @return [Applied]
    def cancel
      apply_to_all(:cancel)
    end

    # Removes jobs, also dead and done ones.
    #
    # @return [Applied]
    def delete
      apply_to_all(:delete)
    end

    # Jobs that wait, and dead ones, go to another queue.
    #
    # @param queue [Queue, String]
    # @return [Applied]
    def move(queue)
      apply_to_all({ move: queue })
    end

    # Live jobs have another priority.
    #
    # @return [Applied]
    def prioritize(priority)
      apply_to_all({ priority: priority })
    end

    def inspect
      "#<#{self.class} #{@filter.inspect} of #{Postgres.shown(@database.path)}>"
    end

    private

    def apply_to_all(action)
      all = Applied.new(0, 0)
      cursor = nil
      loop do
        page = apply(action, cursor: cursor)
        all.changed += page[:changed]
        all.conflicts += page[:conflicts]
        cursor = page[:cursor]
        return all if cursor.nil?
      end
    end

    def filter(page_size, cursor)
      conditions = @filter.to_h { |name, value| name == :batch ? [:batch_id, value] : [name, value] }
      Value.text(Codec.options({ **conditions, **{ limit: page_size, cursor: cursor }.compact }), "filter")
    end
  end
end
