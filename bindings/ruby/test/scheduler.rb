# frozen_string_literal: true

# The least that a Fiber scheduler can be: select in a thread's fibers.
class LeastScheduler
  def initialize
    @readable = {}
    @writable = {}
    @sleeping = {}
    @blocked = 0
    @ready = []
    @lock = Mutex.new
  end

  def run
    until @readable.empty? && @writable.empty? && @sleeping.empty? && @ready.empty? && @blocked.zero?
      now = clock
      wait = (@sleeping.values.min || (now + 0.05)) - now
      wait = 0 unless @ready.empty?
      readable, writable, = IO.select(@readable.keys, @writable.keys, [], wait.clamp(0, 0.05))
      readable&.each { |io| @readable.delete(io)&.resume(IO::READABLE) }
      writable&.each { |io| @writable.delete(io)&.resume(IO::WRITABLE) }
      @lock.synchronize { @ready.slice!(0..) }.each { |fiber| fiber.resume if fiber.alive? }
      @sleeping.select { |_, at| at <= clock }.each_key { |fiber| @sleeping.delete(fiber) && fiber.resume(false) }
    end
  end
  alias close run

  def fiber(&block)
    Fiber.new(blocking: false, &block).tap(&:resume)
  end

  def io_wait(io, events, timeout)
    fiber = Fiber.current
    @readable[io] = fiber if (events & IO::READABLE).positive?
    @writable[io] = fiber if (events & IO::WRITABLE).positive?
    @sleeping[fiber] = clock + timeout if timeout
    Fiber.yield
  ensure
    @readable.delete(io)
    @writable.delete(io)
    @sleeping.delete(fiber)
  end

  # Also the sleep of a condition, which another thread may end.
  def kernel_sleep(seconds = nil)
    block(nil, seconds)
  end

  def block(_blocker, timeout = nil)
    @blocked += 1
    @sleeping[Fiber.current] = clock + timeout if timeout
    Fiber.yield
  ensure
    @blocked -= 1
    @sleeping.delete(Fiber.current)
  end

  def unblock(_blocker, fiber)
    @lock.synchronize { @ready << fiber }
  end

  def clock
    Process.clock_gettime(Process::CLOCK_MONOTONIC)
  end
end
