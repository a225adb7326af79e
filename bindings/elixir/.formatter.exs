[
  inputs: ["*.exs", "{lib,test,examples,testee,bench}/**/*.{ex,exs}", "tests/consumer/**/*.{ex,exs}"],
  line_length: 120
]
