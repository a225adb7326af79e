Application.put_env(:honker, :json, Honker.Test.JSON)
# Nothing here has to be fast: a machine may be busy.
ExUnit.start(capture_log: true, timeout: 600_000, assert_receive_timeout: 120_000)
