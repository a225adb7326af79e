//! Traces that go through jobs, with OpenTelemetry: see the test, which is the recipe.
