#!/usr/bin/env python3
"""Clients of the transcripts of MongoDB: `clients.py <scene> <port>`. See record.sh."""
import sys


def client(port, **more):
    import pymongo

    # One connection, and no second one to watch the server from the same pool.
    return pymongo.MongoClient("127.0.0.1", port, directConnection=True, maxPoolSize=1, **more)


def commands(port):
    import pymongo.errors

    one = client(port)
    shop = one.shop
    shop.items.drop()
    shop.items.insert_many([{"_id": number, "name": "item %d" % number} for number in range(150)])
    shop.items.insert_one({"name": "wörter", "secret": "hidden-word"})
    shop.items.find_one({"_id": 3, "name": {"$regex": "^item"}})
    list(shop.items.find({"_id": {"$lt": 120}}, batch_size=50))
    shop.items.update_many({"_id": {"$lt": 5}}, {"$set": {"name": "new"}})
    shop.items.count_documents({})
    shop.items.distinct("name")
    list(shop.items.aggregate([{"$match": {"_id": 1}}]))
    shop.items.delete_one({"_id": 7})
    for wrong in [{"nosuch": 1}, {"find": "items", "filter": {"a": {"$nosuch": 1}}}]:
        try:
            shop.command(wrong)
        except pymongo.errors.OperationFailure:
            pass
    try:
        shop.items.insert_one({"_id": 1})
    except pymongo.errors.DuplicateKeyError:
        pass
    shop.list_collection_names()
    one.close()


def unacknowledged(port):
    import pymongo

    one = client(port)
    items = one.shop.get_collection("items", write_concern=pymongo.WriteConcern(w=0))
    items.insert_one({"name": "unacknowledged"})
    # FerretDB 1.24 answers what is not to be answered, so that this is all that can be asked.
    items.insert_many([{"name": "one"}, {"name": "two"}])
    one.close()


def big(port):
    one = client(port)
    one.shop.big.insert_one({"_id": 1, "text": "x" * 60_000})
    one.shop.big.find_one({"_id": 1})
    one.shop.big.find_one({"text": "y" * 60_000})
    one.shop.big.drop()
    one.close()


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]))
