# frozen_string_literal: true

module Honker
  # The version of this package, which is that of the libhonker it belongs to.
  VERSION = "0.1.0"
end
