# frozen_string_literal: true

require_relative "helper"
require "json"

# What lib/honker/abi.rb, which is generated from honker-ffi/abi.json, does not settle by itself.
class TestAbi < HonkerTest
  ABI = JSON.parse(File.read(File.join(TREE, "honker-ffi/abi.json")))
  CONSTANTS = ABI["constants"].to_h { |constant| constant.values_at("name", "value") }
  NATIVE = Honker.module_eval("Native", __FILE__, __LINE__)

  def test_every_error_has_a_class_of_its_name
    errors = CONSTANTS.select { |name, value| value.negative? && name.start_with?("HONKER_") }
    errors.each do |name, status|
      type = Honker::Error::BY_STATUS.fetch(status)
      assert_equal name, type::NAME unless name == "HONKER_NULL_ARG"
    end
    assert_equal errors.size, Honker::Error::BY_STATUS.size
  end

  def test_words_of_a_job
    offsets = ABI["structs"]["honker_job_view_t"]["fields"].to_h { |field| field.values_at("name", "offset") }
    offsets.except("struct_size", "reserved").each { |name, offset| assert_equal offset / 8, NATIVE::JOB_VIEW.word(name.to_sym), name }
    assert_equal ABI["structs"]["honker_job_view_t"]["size"] / 8, NATIVE::JOB_VIEW.words
  end

  def test_the_version_is_that_of_the_tree
    assert_equal File.read(File.join(TREE, "Cargo.toml"))[/^version = "(.*)"/, 1], Honker::VERSION
    db
    assert_equal NATIVE.honker_version, Honker::VERSION
  end
end
