#!/bin/sh
# Records these transcripts anew: `record.sh <port>` of an empty FerretDB 1.24 (`--handler=sqlite`). Needs Debian's
# python3-pymongo, and Go. Each client has a second connection, on which it watches the server.
set -e
cd "$(dirname "$0")"
work=$(mktemp -d)
for scene in commands unacknowledged big; do
    python3 ../record.py "$1" "$work/$scene.txt" --note "pymongo 3.11 and FerretDB 1.24: $scene" -- \
        /usr/bin/python3 clients.py $scene '{port}'
    mv "$work/$scene-2.txt" "pymongo_$scene.txt"
done
mv "$work/commands.txt" pymongo_monitor.txt
cat > "$work/main.go" <<'GO'
package main

import (
	"context"
	"os"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
)

func main() {
	ctx := context.Background()
	client, err := mongo.Connect(ctx, options.Client().ApplyURI("mongodb://127.0.0.1:"+os.Args[1]+"/?directConnection=true&maxPoolSize=1"))
	if err != nil {
		panic(err)
	}
	items := client.Database("shop").Collection("items")
	items.FindOne(ctx, bson.M{"_id": 3})
	items.InsertOne(ctx, bson.M{"name": "by go"})
	items.BulkWrite(ctx, []mongo.WriteModel{
		mongo.NewUpdateOneModel().SetFilter(bson.M{"name": "by go"}).SetUpdate(bson.M{"$set": bson.M{"name": "changed"}}),
		mongo.NewDeleteOneModel().SetFilter(bson.M{"name": "changed"}),
	})
	cursor, err := items.Find(ctx, bson.M{}, options.Find().SetBatchSize(100))
	if err == nil {
		var all []bson.M
		cursor.All(ctx, &all)
	}
	client.Database("shop").RunCommand(ctx, bson.D{{Key: "nosuch", Value: 1}})
	client.Disconnect(ctx)
}
GO
(cd "$work" && go mod init client && go get go.mongodb.org/mongo-driver@v1.17.3 && go build -o client .)
python3 ../record.py "$1" "$work/go.txt" --note "mongo-driver 1.17 and FerretDB 1.24" -- "$work/client" '{port}'
mv "$work/go.txt" go_monitor.txt
mv "$work/go-2.txt" go.txt
rm -r "$work"
