Application.put_env(:honker, :json, Honker.Test.JSON)
ExUnit.start(capture_log: true, timeout: 60_000)
