# A job enqueued in a transaction of the application's own driver of Postgres. That is p1_pgsql here, behind the one function of
# Ecto's repositories that is needed; a repository is used in the same way. DATABASE_URL says where the database is.

defmodule MyApp.Repo do
  def connect(url) do
    %URI{host: host, port: port, userinfo: user, path: "/" <> database} = URI.parse(url)
    options = [host: to_charlist(host), port: port, user: user, password: "", database: database]
    {:ok, connection} = :pgsql.connect(options)
    :persistent_term.put(__MODULE__, connection)
  end

  def transaction(fun) do
    execute("BEGIN")
    result = fun.()
    execute("COMMIT")
    result
  end

  def execute(sql), do: {:ok, _} = :pgsql.squery(:persistent_term.get(__MODULE__), sql)

  def query(sql, params) do
    params = Enum.map(params, &if(&1 == nil, do: :null, else: &1))
    {:ok, _, _, _, rows} = :pgsql.pquery(:persistent_term.get(__MODULE__), sql, params)
    {:ok, %{rows: for(row <- rows, do: for({_type, value} <- row, do: value))}}
  end
end

alias MyApp.Repo

url = System.fetch_env!("DATABASE_URL")
{:ok, db} = Honker.open(url)
Repo.connect(url)
Repo.execute("CREATE TABLE orders (id int PRIMARY KEY)")

Repo.transaction(fn ->
  Repo.execute("INSERT INTO orders (id) VALUES (42)")
  {:ok, _id} = Honker.Postgres.enqueue_on(Repo, "emails", %{order_id: 42}, unique_key: "order 42")
end)

job = Honker.Queue.claim_one!(db, "emails", "worker-1")
IO.puts("order #{job.payload["order_id"]}")
{:ok, true} = Honker.Job.ack(db, job)
Honker.close(db)

#=> order 42
