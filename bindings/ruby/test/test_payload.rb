# frozen_string_literal: true

require_relative "helper"

class TestPayload < HonkerTest
  def through(payload)
    q = db.queue("q")
    q.enqueue(payload)
    q.claim_one("w").payload
  end

  def test_hashes_answer_to_strings_and_symbols_nested_ones_too
    payload = through({ name: "world", "to" => [{ at: { deep: 1 } }], 5 => nil })
    assert_equal "world", payload[:name]
    assert_equal "world", payload["name"]
    assert_equal 1, payload[:to][0][:at]["deep"]
    assert_equal 1, payload.dig(:to, 0, :at, :deep)
    assert_equal "world", payload.fetch(:name)
    assert_equal 7, payload.fetch(:nope, 7)
    assert_raises(KeyError) { payload.fetch(:nope) }
    assert payload.key?(:name) && payload.include?("name") && !payload.key?(:nope)
    assert_equal ["world", nil], payload.values_at(:name, "5")
    assert_equal ["world"], payload.fetch_values(:name)
    assert_equal({ "name" => "world" }, payload.slice(:name))
    refute_includes payload.except(:name), :name
    assert_equal %w[name to 5], payload.keys
    payload[:more] = 1
    assert_equal 1, payload["more"]
    assert_equal 1, payload.delete(:more)
    case payload
    in { name: String => name, to: [{ at: { deep: Integer => deep } }] }
      assert_equal ["world", 1], [name, deep]
    end
  end

  # Every method of Hash that takes keys. Each is given a Symbol where a String is stored.
  def test_symbols_are_keys_of_every_method
    payload = through({ name: "world", opts: { a: 1 } })
    merged = { merge: payload.merge({ name: 1 }), merge!: payload.dup.merge!({ name: 1 }), update: payload.dup.update(name: 1),
               store: payload.dup.tap { |one| one.store(:name, 1) }, replace: payload.dup.replace(payload.to_h.merge(name: 1)),
               merge_two: payload.merge({ name: 0 }, { name: 1 }), dup: payload.dup.tap { |one| one[:name] = 1 } }
    merged.each do |method, one|
      assert_instance_of Honker::Payload, one
      assert_equal [1, 1, 1], [one[:name], one["name"], one.fetch(:name)], method
      assert_equal({ "name" => 1, "opts" => { "a" => 1 } }, through(one))
      assert_equal 1, JSON.generate(one).scan('"name"').size, method
    end
    assert_equal "worldworld", payload.merge(name: "world") { |key, old, new| old + new if key == "name" }[:name]
    assert_equal %w[name world], payload.assoc(:name)
    assert_equal ["world", { "a" => 1 }], %i[name opts].map(&payload)
    assert_equal 1, payload.merge(opts: { a: 1, "b" => [{ c: 2 }] })["opts"]["a"]
    assert_equal 2, payload.merge(opts: { a: 1, "b" => [{ c: 2 }] }).dig("opts", "b", 0, "c")
    { slice: payload.slice(:name), except: payload.except(:opts), select: payload.select { |key, _| key == "name" },
      filter: payload.filter { |key, _| key == "name" }, reject: payload.reject { |_, value| value.is_a?(Hash) },
      compact: payload.merge(opts: nil).compact, index: Honker::Payload[name: "world"],
      transform_values: payload.slice(:name).transform_values(&:itself) }.each do |method, one|
      assert_equal ["world", 1], [one[:name], one.size], method
    end
    assert payload > { name: "world" } && payload >= { name: "world" } && payload.slice(:name) <= payload
    assert payload.slice(:name) == { name: "world" } && payload.slice(:name) == { "name" => "world" }
    refute payload < { name: "world" }
    assert_equal %w[who opts], payload.transform_keys(name: "who").keys
    assert_equal %i[name opts], payload.transform_keys(&:to_sym).keys
    assert_equal "world", payload.dup.transform_keys!({ name: :who })["who"]
    assert_equal "world", payload.dup.transform_keys!(&:to_sym)[:name]
    assert_equal "world", payload.delete(:name)
    refute payload.key?(:name)
    assert_instance_of Enumerator, payload.select
  end

  def test_what_json_can_say_comes_back
    [nil, true, false, 0, -1, 2**62, 10**30, 1.5, "", "täxt \u0000 \u{1f600}", [], {}, [[[]]], "x" * 100_000].each do |value|
      value.nil? ? assert_nil(through(value)) : assert_equal(value, through(value))
    end
    assert_equal({ "a" => "b" }, through({ a: :b }))
    assert_equal 5, through("5".to_i)
  end

  def test_what_is_no_json_is_a_text
    payload = through(Honker::RawText.new("not json"))
    assert_instance_of Honker::RawText, payload
    assert_equal "not json", payload
    assert_instance_of String, through("not json")
    assert_nil through(Honker::RawText.new(""))
  end

  def test_what_cannot_be_written_is_refused_and_nothing_is_stored
    circle = []
    circle << circle
    [Float::NAN, Float::INFINITY, "\xff", { "\xff" => 1 }, circle].each do |value|
      assert_raises(Honker::PayloadError) { db.queue("q").enqueue(value) }
      assert_raises(Honker::PayloadError) { db.stream("s").publish(value) }
      assert_raises(Honker::PayloadError) { db.notify("c", value) }
    end
    assert_equal 0, db.queue("q").stats[:pending]
  end

  def test_texts_of_other_encodings
    db.queue("käfig".encode("ISO-8859-1")).enqueue("täxt".encode("UTF-16LE"))
    assert_equal "täxt", db.queue("käfig").claim_one("w").payload
    assert_equal 1, db.queue("käfig".b).stats[:claimed]
    assert_raises(Honker::EncodingError) { db.queue("\xff").enqueue(1) }
    assert_raises(Honker::EncodingError) { db.queue("\xff".b).enqueue(1) }
    assert_raises(Honker::EncodingError) { db.queue("\xd8\x00".dup.force_encoding("UTF-16BE")).enqueue(1) }
    assert_equal(-22, assert_raises(Honker::EncodingError) { db.queue("\xff").enqueue(1) }.status)
  end
end
