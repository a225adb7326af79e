[
  inputs: ["*.exs", "{lib,test,testee,bench}/**/*.{ex,exs}", "tests/consumer/**/*.{ex,exs}"],
  line_length: 120
]
