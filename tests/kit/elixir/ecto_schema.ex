# What a schema of Ecto says, without Ecto: enough to compile one and to list its fields, types and associations.
defmodule Pgvector.Ecto.Vector do
end

defmodule Ecto.Schema do
  @types ~w(id binary_id integer float boolean string binary map decimal
            utc_datetime utc_datetime_usec naive_datetime naive_datetime_usec)a

  defmacro __using__(_) do
    quote do
      import Ecto.Schema
      @primary_key {:id, :id, autogenerate: true}
      @foreign_key_type :id
      Module.register_attribute(__MODULE__, :fields, accumulate: true)
      Module.register_attribute(__MODULE__, :associations, accumulate: true)
    end
  end

  defmacro schema(source, do: block) do
    quote do
      # As Ecto does: a module that belongs to nothing may set it all the same.
      _ = @foreign_key_type

      case @primary_key do
        false -> :ok
        {name, type, options} -> Ecto.Schema.__field__(__MODULE__, name, type, [{:primary_key, true} | options])
      end

      unquote(block)

      def __schema__(:source), do: unquote(source)
      def __schema__(:fields), do: Enum.reverse(@fields)
      def __schema__(:associations), do: Enum.reverse(@associations)
    end
  end

  defmacro field(name, type, options \\ []) do
    quote do: Ecto.Schema.__field__(__MODULE__, unquote(name), unquote(type), unquote(options))
  end

  defmacro belongs_to(name, module, options \\ []) do
    quote do
      key = Keyword.get(unquote(options), :foreign_key, :"#{unquote(name)}_id")
      type = Keyword.get(unquote(options), :type, @foreign_key_type)
      primary = Keyword.take(unquote(options), [:primary_key])
      Ecto.Schema.__field__(__MODULE__, key, type, primary)
      Ecto.Schema.__associate__(__MODULE__, :belongs_to, unquote(name), unquote(module), key)
    end
  end

  for kind <- [:has_many, :has_one] do
    defmacro unquote(kind)(name, module, options) do
      kind = unquote(kind)

      quote do
        key = Keyword.fetch!(unquote(options), :foreign_key)
        Ecto.Schema.__associate__(__MODULE__, unquote(kind), unquote(name), unquote(module), key)
      end
    end
  end

  defmacro timestamps(options) do
    quote do
      type = Keyword.fetch!(unquote(options), :type)

      for {option, default} <- [inserted_at: :inserted_at, updated_at: :updated_at],
          name = Keyword.get(unquote(options), option, default) do
        Ecto.Schema.__field__(__MODULE__, name, type, autogenerate: true)
      end
    end
  end

  def __field__(module, name, type, options) do
    known?(type) || raise ArgumentError, "#{inspect(module)}.#{name} has no type of Ecto: #{inspect(type)}"
    names = for {other, _, _} <- Module.get_attribute(module, :fields), do: other
    name in names && raise ArgumentError, "#{inspect(module)}.#{name} is declared twice"
    default = Keyword.get(options, :default)
    fits?(type, default) || raise ArgumentError, "#{inspect(module)}.#{name} cannot be #{inspect(default)}"
    Module.put_attribute(module, :fields, {name, type, Keyword.take(options, [:default, :primary_key])})
  end

  def __associate__(module, kind, name, target, key) do
    Module.put_attribute(module, :associations, {kind, name, target, key})
  end

  defp known?({:array, type}), do: known?(type)
  defp known?(Pgvector.Ecto.Vector), do: true
  defp known?(type), do: type in @types

  defp fits?(_, nil), do: true
  defp fits?({:array, _}, value), do: is_list(value)
  defp fits?(:string, value), do: is_binary(value)
  defp fits?(:integer, value), do: is_integer(value)
  defp fits?(:float, value), do: is_float(value)
  defp fits?(:boolean, value), do: is_boolean(value)
  defp fits?(:map, value), do: is_map(value)
  defp fits?(_, _), do: false
end
