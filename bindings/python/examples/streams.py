"""Events stay, and each consumer knows how far it has come."""

import asyncio

import honker

db = honker.open("app.db")
events = db.stream("user-events")
events.publish({"user_id": 1, "change": "name"}, key="1")


async def main():
    async with events.subscribe(consumer="dashboard") as subscription:
        async for event in subscription:
            print(event.offset, event.key, event.payload)
            if event.payload["change"] == "email":
                subscription.ack()  # or by asking for the next one
                break
            events.publish({"user_id": 1, "change": "email"})


asyncio.run(main())
print("read up to", events.get_offset("dashboard"))
# => 1 1 {'user_id': 1, 'change': 'name'}
# => 2 None {'user_id': 1, 'change': 'email'}
# => read up to 2
