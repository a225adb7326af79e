defmodule Honker.Bang do
  @moduledoc false
  # Defines, for each function of a module that is named, one with a `!`: it returns the value itself, and raises the error.

  defmacro __using__(names) do
    quote do
      @honker_bang unquote(names)
      @before_compile Honker.Bang
    end
  end

  defmacro __before_compile__(%{module: module}) do
    names = Module.get_attribute(module, :honker_bang)

    for {name, arity} <- Enum.sort(Module.definitions_in(module, :def)), name in names do
      arguments = Macro.generate_arguments(arity, module)

      quote do
        @doc "As `#{unquote(name)}/#{unquote(arity)}`: the value itself; an error is raised."
        def unquote(:"#{name}!")(unquote_splicing(arguments)),
          do: Honker.Bang.value(unquote(name)(unquote_splicing(arguments)))
      end
    end
  end

  def value({:ok, value}), do: value
  def value({:error, error}) when is_exception(error), do: raise(error)
  # What the caller's own function has returned, in a transaction, a batch or a step.
  def value({:error, reason}),
    do: raise(Honker.Error.new(:rolled_back, "its function returned the error #{inspect(reason)}"))

  # :ok, and what is neither a value nor an error: :timeout, :woken, :closed
  def value(other), do: other
end
