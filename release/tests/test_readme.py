"""The READMEs as registries show them."""

import unittest

import readme
import repository


class Readme(unittest.TestCase):
    def test_links_lead_to_the_repository_at_this_version(self) -> None:
        text = "[a](../../docs/sql.md#queue) [b](examples) [c](#concepts) [d](https://example.com/x)"
        home = f"{readme.HOME}/blob/v1.2.3"
        self.assertEqual(
            readme.absolute(text, "bindings/go", "1.2.3"),
            f"[a]({home}/docs/sql.md#queue) [b]({home}/bindings/go/examples) [c](#concepts) [d](https://example.com/x)",
        )

    def test_what_is_released_does_not_say_that_it_is_not(self) -> None:
        text = "## Install\n\nhonker is not released yet: [until then](x)\ncomes.\n\n```\npip\n```\n"
        self.assertEqual(readme.absolute(text, ".", "1.2.3"), "## Install\n\n```\npip\n```\n")
        for path in repository.ROOT.glob("bindings/*/README.md"):
            self.assertNotIn("not released", readme.absolute(path.read_text(), f"bindings/{path.parent.name}", "1.2.3"))

    def test_samples(self) -> None:
        self.assertEqual(readme.samples("```go\none\n```\n```\nno\n```\n```go\ntwo\n```\n", "go"), ["one\n", "two\n"])
