"""The READMEs as registries show them."""

import unittest

import readme


class Readme(unittest.TestCase):
    def test_links_lead_to_the_repository_at_this_version(self) -> None:
        text = "[a](../../docs/sql.md#queue) [b](examples) [c](#concepts) [d](https://example.com/x)"
        home = f"{readme.HOME}/blob/v1.2.3"
        self.assertEqual(
            readme.absolute(text, "bindings/go", "1.2.3"),
            f"[a]({home}/docs/sql.md#queue) [b]({home}/bindings/go/examples) [c](#concepts) [d](https://example.com/x)",
        )

    def test_samples(self) -> None:
        self.assertEqual(readme.samples("```go\none\n```\n```\nno\n```\n```go\ntwo\n```\n", "go"), ["one\n", "two\n"])
