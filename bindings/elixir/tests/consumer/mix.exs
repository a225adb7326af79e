defmodule Consumer.MixProject do
  use Mix.Project

  # A project that uses the package, as somebody else's would. HONKER_PACKAGE is where it is.
  def project do
    [
      app: :consumer,
      version: "0.1.0",
      xref: [exclude: [:jiffy]],
      deps: [{:honker, path: System.fetch_env!("HONKER_PACKAGE")}]
    ]
  end
end
