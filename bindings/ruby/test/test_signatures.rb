# frozen_string_literal: true

require_relative "helper"

# sig/honker.rbs names every public method, with its parameters, and nothing else. (rbs is no package of Debian's; who has it
# runs `rbs -I sig validate`.)
class TestSignatures < HonkerTest
  PRIVATE = %i[handle interrupts pid states lock_wait_s open_transaction call call? number owned owned_text
               owned_list read_list read_text fail_with error_of
               synchronize closed_error check_pid again on concurrency hold keep_claims expect_signals settle put_down rest_until nudge backoff_s json rows over! database read_jobs final! final? serial cancel stop given_to stale? check_open dispatcher register next_unless turn inspect read
               required finalizer member].freeze

  def signatures
    text = File.read(File.join(PACKAGE, "sig/honker.rbs"))
    text.scan(/^  class (\w+)(.*?)^  end/m).to_h do |name, body|
      methods = body.scan(/^    def (self\.)?([\w?!=\[\]]+):(.*)/).to_h { |on, method, type| ["#{on}#{method}", type] }
      readers = body.scan(/^    attr_reader (\w+):/).flatten
      [name, methods.merge(readers.to_h { |reader| [reader, "() -> untyped"] })]
    end
  end

  def test_every_public_method_has_a_signature
    found = signatures
    classes = Honker.constants.map { |name| Honker.const_get(name) }.grep(Class).reject { |type| type <= StandardError || type < Struct }
    classes.reject { |type| type == Honker::RawText }.each do |type|
      name = type.name.split("::").last
      ours = type.public_instance_methods(false) - PRIVATE - %i[each dig delete fetch store]
      ours -= Hash.public_instance_methods if type == Honker::Payload # inherited in the signatures, too
      ours.each { |method| assert found.fetch(name).key?(method.to_s) || found["Waiter"].key?(method.to_s), "#{name}##{method}" }
      next if name == "Payload"

      (found[name].keys - ["initialize", "each", *found[name].keys.grep(/self/)]).each do |method|
        assert type.method_defined?(method), "#{name}##{method} is in the signatures only"
      end
    end
  end

  def test_keywords_are_the_same
    signatures.each do |name, methods|
      next if name == "Payload"

      type = Honker.const_get(name)
      methods.each do |method, signature|
        next if method.start_with?("self.")

        keywords = type.instance_method(method).parameters.select { |kind, _| kind.to_s.start_with?("key") }
        keywords.each { |kind, keyword| assert_match(/#{"\\?" if kind == :key}#{keyword}:|\*\*/, signature, "#{name}##{method}") unless kind == :keyrest }
      end
    end
  end

  def test_every_error_has_one
    text = File.read(File.join(PACKAGE, "sig/honker.rbs"))
    Honker.constants.map { |name| Honker.const_get(name) }.grep(Class).select { |type| type < StandardError }.each do |type|
      assert_match(/^  class #{type.name.split("::").last} < #{type.superclass.name.delete_prefix("Honker::").sub("Timeout", "::Timeout")}$/, text)
    end
  end
end
