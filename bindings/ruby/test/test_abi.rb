# frozen_string_literal: true

require_relative "helper"
require "json"

# The constants, layouts and functions of lib/honker/native.rb are those of honker-ffi/abi.json and the header.
class TestAbi < HonkerTest
  ABI = JSON.parse(File.read(File.join(TREE, "honker-ffi/abi.json")))
  CONSTANTS = ABI["constants"].to_h { |constant| constant.values_at("name", "value") }
  NATIVE = Honker.module_eval("Native", __FILE__, __LINE__)

  def test_constants
    constants = NATIVE.constants.select { |name| NATIVE.const_get(name).is_a?(Integer) && CONSTANTS.key?("HONKER_#{name}") }
    assert_operator constants.size, :>, 30
    constants.each { |name| assert_equal CONSTANTS["HONKER_#{name}"], NATIVE.const_get(name), name }
    unknown = NATIVE.constants(false).select { |name| NATIVE.const_get(name).is_a?(Integer) } - constants
    assert_empty unknown
  end

  def test_every_error_has_a_class_of_its_name
    errors = CONSTANTS.select { |name, value| value.negative? && name.start_with?("HONKER_") }
    errors.each do |name, status|
      type = Honker::Error::BY_STATUS.fetch(status)
      assert_equal name, type::NAME unless name == "HONKER_NULL_ARG"
    end
    assert_equal errors.size, Honker::Error::BY_STATUS.size
  end

  def test_layouts
    layouts = NATIVE.constants.map { |name| NATIVE.const_get(name) }.grep(NATIVE::Layout)
    assert_equal ABI["structs"].keys.sort, layouts.map { |layout| layout.name.to_s }.sort
    layouts.each do |layout|
      struct = ABI["structs"].fetch(layout.name.to_s)
      at = 0
      fields = layout.fields.map do |name, letters|
        field = { "name" => name.to_s, "offset" => at, "size" => NATIVE::Layout::SIZES.fetch(letters) }
        at += field["size"]
        field
      end
      assert_equal(struct["fields"].map { |field| field.slice("name", "offset", "size") }, fields, layout.name)
      assert_equal struct["size"], layout.size, layout.name
      values = layout.template.chars.map { 0 }
      values.shift(2) if layout.fields.key?(:struct_size)
      assert_equal layout.size, layout.pack(*values).bytesize, layout.name
    end
  end

  def test_words_of_a_job
    offsets = ABI["structs"]["honker_job_view_t"]["fields"].to_h { |field| field.values_at("name", "offset") }
    offsets.except("struct_size", "reserved").each { |name, offset| assert_equal offset / 8, NATIVE::JOB_VIEW.word(name.to_sym), name }
    assert_equal 10, NATIVE::JOB_VIEW.words
  end

  # How the header declares a function, in the letters of native.rb.
  def declared(name)
    header = File.read(File.join(TREE, "include/honker.h"))
    parameters = header[/^\w[^;{}]*\b#{name}\(([^)]*)\);/m, 1].split(",").map { |one| one.gsub(/\s+/, " ").strip }
    parameters.pop # the error
    parameters.map do |one|
      case one
      when /\Aconst uint8_t \*\w/ then "t"
      when /\Asize_t (?:\w+_len)\z/ then parameters.any? { |other| other =~ /\Aconst uint8_t \*#{one[/size_t (\w+)_len/, 1]}\z/ } ? "" : "n"
      when /\A(?:int64_t|size_t) \w+\z/ then "n"
      when /_opts_t \*|schedule_update_t \*|const int64_t \*/ then "b"
      when /\A(?:const )?honker_\w+_t \*\w+\z/ then one =~ /honker_(?:db|tx|text|rows|jobs|waiter|worker|listener|subscription|events|fires|leader|outbox)_t \*/ ? "h" : "p"
      else "p"
      end
    end.join
  end

  def test_functions_are_declared_as_in_the_header
    { **NATIVE::BLOCKING, **NATIVE::QUICK }.each do |name, letters|
      assert ABI["functions"].key?("honker_#{name}"), name
      assert_equal declared("honker_#{name}"), letters, name
    end
    bound = [*NATIVE::BLOCKING.keys, *NATIVE::QUICK.keys, *[*NATIVE::BLOCKING_FREES, *NATIVE::FREES].map { |free| "#{free}_free" }]
    left = ABI["functions"].keys - bound.map { |name| "honker_#{name}" }
    assert_equal %w[honker_abi_version honker_build_info honker_error_message honker_error_name honker_error_sqlite_code
                    honker_error_sqlite_extended_code honker_error_status honker_jobs_get honker_jobs_len honker_status_name
                    honker_version], left.sort
  end

  def test_the_version_is_that_of_the_tree
    assert_equal File.read(File.join(TREE, "Cargo.toml"))[/^version = "(.*)"/, 1], Honker::VERSION
    db
    assert_equal NATIVE.honker_version, Honker::VERSION
  end
end
