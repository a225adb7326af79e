"""Notifications reach whoever listens when they are committed."""

import asyncio

import honker

db = honker.open("app.db")


async def main():
    listener = db.listen("orders")
    with db.transaction() as tx:
        tx.notify("orders", {"id": 42})
    async for n in listener:
        print(n.channel, n.payload)
        break


asyncio.run(main())
# => orders {'id': 42}
