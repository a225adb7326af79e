import asyncio
import os

import procrastinate

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["PEER_URL"]))


@app.task
def greet(word):
    print(word, flush=True)


async def main():
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await greet.defer_async(word="hello")
        await app.run_worker_async()


asyncio.run(main())
